"""The p that goes with a verdict: the smallest error at which it would still be one.

A hypothesis is decided where its whole interval lies on one side of its limit. An interval at a higher level is wider, so there
is a smallest error a such that the interval at 1 − a still decides: that a is p. It needs no null hypothesis of its own, fits
every quantity and prediction, and can't contradict the verdict. For a limit on one side it is about twice a one-sided p.
Corrected for the number of hypotheses as the study says, it is at most 1 − `level` exactly where the verdict is no
`inconclusive`. A bootstrap can't tell errors below one in its resamples apart, so p is given as at most that.

Cost: about ten intervals of numbers that were drawn already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from assay.stats import benjamini_hochberg, holm
from assay.studies.schema import Analysis

EXACT = 1.002
"""The ratio of the two ends between which p is known when the search ends."""


@dataclass(frozen=True)
class Chance:
    """A p; `at_most`: it is that or smaller."""

    p: float
    at_most: bool = False

    def __str__(self) -> str:
        sign = "≤" if self.at_most and self.p < 1 else "="
        return f"p {sign} {self.p:.2g}" if self.p >= 0.001 else f"p {sign} {self.p:.1g}"


def chance(decides: Callable[[float], bool], *, known: float, finest: float) -> Chance:
    """The smallest error at which `decides` is true. It is tried at `known` first, so that p is on the verdict's side of it."""
    if decides(known):
        if finest >= known or decides(finest):
            return Chance(min(finest, known), at_most=True)
        low, high = finest, known
    else:
        low, high = known, 1 - 1e-9
        if not decides(high):
            return Chance(1.0)
    while high / low > EXACT:
        middle = sqrt(low * high)
        low, high = (low, middle) if decides(middle) else (middle, high)
    return Chance(high)


def corrected(found: Sequence[Chance | None], analysis: Analysis) -> list[Chance | None]:
    """Each p corrected for the number of hypotheses; where there is none, it counts as 1."""
    plain = [1.0 if each is None else each.p for each in found]
    match analysis.correction:
        case "none":
            adjusted: Sequence[float] = plain
        case "bonferroni":
            adjusted = [min(1.0, len(plain) * p) for p in plain]
        case "holm":
            adjusted = holm(plain)
        case "benjamini-hochberg":
            adjusted = benjamini_hochberg(plain)
    return [each and Chance(p, each.at_most) for each, p in zip(found, adjusted, strict=True)]
