"""The committed record of every architecture's examination: what tests expect, and what docs/architectures.md shows."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.conformance import zoo
from tests.conformance.examine import Row, harmless

PATH = Path(__file__).with_name("record.json")
REGENERATE = "python -m tests.conformance.table"


@lru_cache(maxsize=1)
def recorded() -> dict[str, Row]:
    """The rows of the record by name, in the zoo's order."""
    return {name: Row(name=name, **data) for name, data in json.loads(PATH.read_text())["rows"].items()}


def versions() -> dict[str, str]:
    """What the record was made with."""
    found: dict[str, str] = json.loads(PATH.read_text())["made with"]
    return found


def write(rows: dict[str, Row], made_with: dict[str, str]) -> None:
    """Save rows, in the zoo's order."""
    data = {name: _data(rows[name]) for name in zoo.everything() if name in rows}
    PATH.write_text(json.dumps({"made with": made_with, "rows": data}, indent=1, ensure_ascii=False) + "\n")


def _data(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.as_data().items() if name != "name"}


def changes(expected: Row, found: Row) -> list[str]:
    """How an examination differs from the record, regressions first, one line each."""
    lines = [_line(*change) for change in _changes(expected, found)]
    return sorted(lines, key=lambda line: not line.startswith("regression"))


def _changes(expected: Row, found: Row) -> list[tuple[str, Any, Any]]:
    pairs: list[tuple[str, Any, Any]] = []
    for name in (f.name for f in fields(Row)):
        before, after = getattr(expected, name), getattr(found, name)
        if isinstance(before, dict):
            keys = dict.fromkeys((*before, *after))
            pairs += [(f"{name}: {key}", before.get(key), after.get(key)) for key in keys]
        else:
            pairs.append((name, before, after))
    return [pair for pair in pairs if pair[1] != pair[2]]


def _line(what: str, before: Any, after: Any) -> str:
    return f"{_direction(what, before, after)}: {what} was {before!r}, is {after!r}"


def _direction(what: str, before: Any, after: Any) -> str:
    if isinstance(before, bool):
        return "improvement" if after else "regression"
    if what.startswith("checks"):
        good = [isinstance(result, str) and harmless(result) for result in (before, after)]
        return "change" if good[0] == good[1] else "regression" if good[0] else "improvement"
    if what.startswith("groups"):
        return "regression" if before == "all" else "improvement" if after == "all" else "change"
    return "change"
