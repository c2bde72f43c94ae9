"""Whether a tool found what assay's naive engine finds: numbers, or the tokens that it generates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

TOLERANCE = 2e-4  # of the largest number: some rivals use another attention kernel
TEXTS = 0.1  # the share of texts that may differ: two tokens whose scores are within rounding change places
END = (-1, 2)
"""What fills a text up, and what ends it."""

Numbers = Mapping[str, Sequence[Any]]


class Differs(ValueError):
    """A tool's numbers are not those of the naive engine."""


def difference(found: Numbers, wanted: Numbers) -> float:
    """The largest difference, of the largest number of its kind; of tokens, the share of texts that differ."""
    each = [
        _of_texts(found[name], values) if name == "tokens" else _of_numbers(found[name], values)
        for name, values in wanted.items()
    ]
    return _most(each)


def agreed(found: Numbers, wanted: Numbers) -> float:
    """The difference, which is small; an error if it is not."""
    amount = difference(found, wanted)
    allowed = TEXTS if "tokens" in wanted else TOLERANCE
    if not amount <= allowed:  # not a number is no agreement either
        raise Differs(f"differs from assay's naive engine by {amount:.1e}, where {allowed:.0e} is allowed")
    return amount


def _of_numbers(found: Sequence[float], wanted: Sequence[float]) -> float:
    return _most([abs(one - other) for one, other in zip(found, wanted, strict=True)]) / max(map(abs, wanted))


def _most(values: Sequence[float]) -> float:
    """The largest; not a number if one of them is none, which `max` may pass over."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def _of_texts(found: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> float:
    return sum(_ended(f) != _ended(w) for f, w in zip(found, wanted, strict=True)) / len(wanted)


def _ended(row: Sequence[int]) -> list[int]:
    """Up to its end."""
    end = next((i for i, token in enumerate(row) if token in END), len(row))
    return list(row[:end])
