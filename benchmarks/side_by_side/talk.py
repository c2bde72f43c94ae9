"""Workers: each tool in a process of its own, asked over pipes, one line of JSON for each question and each answer.

A worker does nothing until it is asked, and the one who asks waits for the answer: so only one of them works at a time. What
libraries print goes to the error stream, which is kept in a file and read when a worker ends unasked. Nothing but JSON passes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TextIO

Answer = dict[str, Any]
Commands = Mapping[str, Callable[..., Answer]]


class WorkerError(RuntimeError):
    """A worker that ended, or that answered with an error; it says what the worker said."""


class Worker:
    """A process and its name. `ask("time", row="a")` sends {"do": "time", "row": "a"} and waits for what comes back."""

    def __init__(self, name: str, command: list[str], *, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, encoding="utf-8",
            env={**os.environ, **(env or {})},
        )  # fmt: skip

    def ask(self, do: str, **given: Any) -> Answer:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": do, **given}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name}, asked to {do}, ended: {self._last_words()}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}, asked to {do}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it: a worker ends when there is nothing more to read."""
        if self._process.stdin:
            with suppress(BrokenPipeError):  # it ended before
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._said.close()

    def _last_words(self) -> str:
        self._said.seek(0)
        return " | ".join(self._said.read().strip().splitlines()[-3:]) or "it said nothing"


def serve(commands: Commands, questions: Iterable[str], answers: TextIO) -> None:
    """Answer every line with a line. An error is an answer too: one tool's failure is not the end of the others."""
    for line in questions:
        question = json.loads(line)
        name = question.pop("do")
        try:
            if name not in commands:
                raise WorkerError(f"no command {name!r}; there are {', '.join(commands)}")
            answer = commands[name](**question)
        except Exception as error:  # noqa: BLE001 (the edge of a server: whatever a library raises is told)
            answer = {"error": f"{type(error).__name__}: {error}"[:600]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def own_output() -> TextIO:
    """The pipe for answers, after which all that is printed goes to the error stream."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return pipe
