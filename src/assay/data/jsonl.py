"""Pairs as JSON lines: one object for each example, an optional header line with the task, the seed and the facts.

In a user's own file a position may also be given as the text that stands there (`"subject": "Mary"`, or one text for
each prompt), and an answer as a plain string. Errors name the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.core.errors import DataError
from assay.core.files import write_text
from assay.data.example import Example

VERSION = 1
LISTS = ("answers", "wrong", "corrupt_answers", "corrupt_wrong", "names")


class Header(BaseModel):
    """The first line of a file that assay wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    assay_pairs: int = VERSION
    """Version of this format."""
    task: str = "own"
    """Name of the task."""
    seed: int | None = None
    """Seed that the examples were drawn with."""
    facts: tuple[str, ...] = ()
    """What a reader of a result should know about them."""


def write_examples(path: Path, header: Header, examples: Iterable[Example]) -> Path:
    """Write atomically: the file is the old one or the new one, never a part."""
    lines = [header.model_dump_json(), *(example.model_dump_json(exclude_defaults=True) for example in examples)]
    write_text(path, "\n".join(lines) + "\n")
    return path


def read_examples(path: Path) -> tuple[Header, tuple[Example, ...]]:
    """The header (a plain one if the file has none) and the examples."""
    if not path.is_file():
        raise DataError(f"No such file: {path}. Expected JSON lines, one object for each example.")
    header = Header()
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        row = _object(line, f"{path.name}:{number}")
        if "assay_pairs" in row:
            header = _header(row, f"{path.name}:{number}")
        else:
            examples.append(_example(row, f"{path.name}:{number}"))
    if not examples:
        raise DataError(f"{path.name} has no examples. Expected lines such as {_sample()}.")
    return header, tuple(examples)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at column {error.colno}). Expected {_sample()}.") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: a {type(row).__name__} instead of an object. Expected {_sample()}.")
    return row


def _header(row: dict[str, Any], where: str) -> Header:
    version = row["assay_pairs"]
    if not isinstance(version, int) or version > VERSION:
        raise DataError(f"{where}: format version {version}; this assay reads up to {VERSION}. Use a newer assay.")
    try:
        return Header.model_validate(row)
    except ValidationError as error:
        raise DataError(f"{where}: {_first(error)}") from None


def _example(row: dict[str, Any], where: str) -> Example:
    plain: dict[str, Any] = {key: _list(value) if key in LISTS else value for key, value in row.items()}
    if isinstance(plain.get("positions"), dict):
        plain["positions"] = {name: _place(name, value, plain, where) for name, value in plain["positions"].items()}
    try:
        example = Example.model_validate(plain)
    except ValidationError as error:
        raise DataError(f"{where}: {_first(error)} Expected {_sample()}.") from None
    if isinstance(example.clean, str) != isinstance(example.corrupt, str):
        raise DataError(f"{where}: one prompt is text and the other token ids. Give both in the same form.")
    return example


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


def _place(name: str, value: Any, row: dict[str, Any], where: str) -> Any:
    if isinstance(value, dict):
        return {side: _span(name, part, row.get(side), f"{where}: {side}") for side, part in value.items()}
    if isinstance(value, str | list):
        return {side: _span(name, value, row.get(side), f"{where}: {side}") for side in ("clean", "corrupt")}
    return value


def _span(name: str, value: Any, prompt: Any, where: str) -> Any:
    if not (isinstance(value, str) and isinstance(prompt, str)):
        return value
    count = prompt.count(value) if value else 0
    if count != 1:
        times = "not" if count == 0 else f"{count} times"
        raise DataError(f"{where}: position '{name}' is {value!r}, which is {times} in the prompt. Give [start, stop].")
    return (prompt.index(value), prompt.index(value) + len(value))


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"]) or "line"
    return f"'{place}': {problem['msg']}."


def _sample() -> str:
    return '{"clean": "Paris is in", "corrupt": "Rome is in", "answers": " France", "wrong": " Italy"}'
