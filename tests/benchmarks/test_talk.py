"""Workers: one line of JSON each way, errors as answers, and nothing of what a library prints between them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from side_by_side.talk import Worker, WorkerError, serve

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"

CHATTY = """
import os, sys
from side_by_side.talk import own_output, serve

answers = own_output()
def add(one, other):
    print("a library prints this")
    os.system("echo and a program this")
    return {"sum": one + other}
def leave():
    print("the roof is on fire", file=sys.stderr)
    os._exit(3)
def fail():
    raise ValueError("no such layer")
serve({"add": add, "leave": leave, "fail": fail}, sys.stdin, answers)
"""


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("chatty", [sys.executable, "-c", CHATTY], env={"PYTHONPATH": str(BENCHMARKS)})
    yield made
    made.close()


def answered(*questions: dict[str, object]) -> list[dict[str, object]]:
    def half(number: int) -> dict[str, object]:
        return {"half": number / 2}

    out = io.StringIO()
    serve({"half": half}, [json.dumps(question) for question in questions], out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_question_has_one_answer() -> None:
    assert answered({"do": "half", "number": 8}, {"do": "half", "number": 1}) == [{"half": 4.0}, {"half": 0.5}]


def test_an_error_is_an_answer_and_the_next_question_is_answered() -> None:
    first, second, third = answered({"do": "half", "number": "x"}, {"do": "double"}, {"do": "half", "number": 2})
    assert str(first["error"]).startswith("TypeError")
    assert "double" in str(second["error"])
    assert "half" in str(second["error"]), "it says what there is"
    assert third == {"half": 1.0}


def test_what_is_printed_does_not_disturb(worker: Worker) -> None:
    assert [worker.ask("add", one=i, other=2)["sum"] for i in range(3)] == [2, 3, 4]


def test_an_error_names_worker_question_and_cause(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="chatty, asked to fail: ValueError: no such layer"):
        worker.ask("fail")
    assert worker.ask("add", one=1, other=1)["sum"] == 2, "it goes on"


def test_a_worker_that_ends_is_told_with_its_last_words(worker: Worker) -> None:
    with pytest.raises(WorkerError, match=r"ended: .*the roof is on fire"):
        worker.ask("leave")
