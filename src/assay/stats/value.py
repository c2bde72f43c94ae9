"""What all values of statistics share: plain data and back, whatever their kind.

Numbers that JSON has no form for (an interval that reaches to infinity) are written as text.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Self

from assay.core.errors import DataError, nearest

_KINDS: dict[str, type[Value]] = {}
_NO_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
NUMBER = "number"


class Value:
    """A frozen dataclass of numbers, texts, tuples of them, and other values; `to_json` and `from_json` are exact."""

    def __init_subclass__(cls) -> None:
        _KINDS[cls.__name__] = cls

    def to_json(self) -> dict[str, Any]:
        """Plain data that say their kind."""
        return {"kind": type(self).__name__} | {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The value that `to_json` wrote.

        Raises:
            DataError: the data are of another kind, or of none that this version knows.
        """
        found = read_value(data)
        if not isinstance(found, cls):
            raise DataError(f"These data are of kind {type(found).__name__}, not {cls.__name__}.")
        return found


def read_value(data: dict[str, Any]) -> Value:
    """A value of whatever kind the data say they are.

    Raises:
        DataError: this version knows no such kind, or its fields are others.
    """
    name = str(data.get("kind"))
    if name not in _KINDS:
        raise DataError(f"There is no statistic of kind {name!r}.{nearest(name, _KINDS)}")
    kind = _KINDS[name]
    expected = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    given = {key: _back(item) for key, item in data.items() if key != "kind"}
    if set(given) != expected:
        raise DataError(
            f"A statistic of kind {name} has the fields {', '.join(sorted(expected))}, not {', '.join(sorted(given))}."
        )
    return kind(**given)


def _plain(item: Any) -> Any:
    match item:
        case Value():
            return item.to_json()
        case tuple() | list():
            return [_plain(each) for each in item]
        case float() if not math.isfinite(item):
            return {NUMBER: str(item)}
        case _:
            return item


def _back(item: Any) -> Any:
    match item:
        case list():
            return tuple(_back(each) for each in item)
        case dict() if NUMBER in item:
            return _NO_NUMBERS[item[NUMBER]]
        case dict():
            return read_value(item)
        case _:
            return item
