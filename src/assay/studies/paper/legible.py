"""Text that is too small to be read on paper, and pictures with too few pixels.

Indices and exponents are small by right: a small run beside a larger one on about the same line is not reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from assay.studies.paper.glyphs import Picture, Run, runs
from assay.studies.paper.report import Problem

SMALLEST = 6.0
"""Points. What venues ask for, or a little less."""
COARSE = 100.0
"""Pixels an inch, for a picture of more than `LARGE` inches."""
LARGE = 1.5
_ROUNDING = 0.05
_FEW = 4


def illegible(items: list[Run | Picture], page: int) -> Iterator[Problem]:
    """What on a page can't be read."""
    small: dict[int, list[Run]] = defaultdict(list)
    by_figure: dict[int, list[Run]] = defaultdict(list)
    for each in runs(items):
        by_figure[each.figure].append(each)
    for figure, found in by_figure.items():
        large = [each for each in found if each.size >= SMALLEST - _ROUNDING]
        small[figure] = [each for each in found if 0 < each.size < SMALLEST - _ROUNDING and not _is_index(each, large)]
    for figure, found in small.items():
        found = found if figure else _without_line_numbers(found)
        letters = sum(sum(c.isalnum() for c in each.text) for each in found)
        if letters >= _FEW:
            least = min(each.size for each in found)
            sample = " ".join(" ".join(each.text.split()) for each in found)[:60]
            where = "in a figure" if figure else "on the page itself"
            yield Problem(
                "small text", page, f"{letters} letters {where} are under {SMALLEST:g} pt, down to {least:.1f} pt: '{sample}'",
                "Make the figure with the width that it is printed at, so that its fonts keep their size.",
            )  # fmt: skip
    for picture in (each for each in items if isinstance(each, Picture)):
        if picture.per_inch < COARSE and picture.inches > LARGE:
            yield Problem(
                "coarse picture", page, f"a picture of {picture.inches:.1f} inches has {picture.per_inch:.0f} pixels an inch",
                "Save it as PDF or SVG, or with 300 pixels an inch.",
            )  # fmt: skip


def _without_line_numbers(found: list[Run]) -> list[Run]:
    """Without the numbers that review styles print beside lines: they grow from the top down, ticks of an axis upwards."""
    numbers = sorted((each for each in found if each.text.strip().isdigit()), key=lambda each: -each.y)
    growing = [int(b.text) - int(a.text) for a, b in pairwise(numbers)]
    lines = len(numbers) >= 4 and sum(0 <= step <= 20 for step in growing) >= 0.8 * len(growing)
    return [each for each in found if each not in numbers] if lines else found


def _is_index(small: Run, large: list[Run]) -> bool:
    """Whether it stands close beside a larger run, a little above or below its line."""
    for other in large:
        right = other.x + 0.6 * other.size * len(other.text)
        if abs(small.y - other.y) <= 0.75 * other.size and other.x - 3 * other.size <= small.x <= right + other.size:
            return True
    return False
