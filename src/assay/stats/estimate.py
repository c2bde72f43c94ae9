"""The values that statistics return: a number with its interval, and a test with its p-value.

>>> print(Estimate(0.83, 0.79, 0.87, n=400, method="Wilson"))
0.83 [0.79, 0.87], n = 400
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.stats.value import Value

ROUNDING = 1e-6
"""An interval narrower than this is a point: what is left is the rounding of single precision."""


@dataclass(frozen=True)
class Estimate(Value):
    """A number, its interval at `level`, the number of examples behind it, and how the interval was made.

    A number that rests on no examples (a count, a weight) has no interval: its ends are the number, and `n` is 0.

    >>> print(Estimate(14 / 270, 14 / 270, 14 / 270, n=0, method="exact"))
    0.052 (no interval)
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    level: float = 0.95
    clusters: int | None = None

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: no examples give none, and one example leaves it without ends."""
        return self.n > 0 and not (math.isinf(self.low) and math.isinf(self.high))

    def __str__(self) -> str:
        within = f" in {self.clusters} clusters" if self.clusters is not None else ""
        return f"{self.text_of_interval()}, n = {self.n}{within}" if self.n else self.text_of_interval()

    def text_of_interval(self) -> str:
        """The number and its interval, without how many examples: for where that stands beside it already."""
        digits = self.decimals()
        if not self.has_interval:
            return f"{self.value:z.{digits}f} (no interval)"
        text = f"{self.value:z.{digits}f} [{self.low:z.{digits}f}, {self.high:z.{digits}f}]"
        return text if self.level == 0.95 else f"{text} ({100 * self.level:.4g} %)"

    def decimals(self) -> int:
        """Decimals worth printing: enough to show the interval's width, at least two unless the number is large."""
        if not self.has_interval:
            return _decimals_of(abs(self.value))
        if not math.isfinite(self.half_width) or abs(self.value) >= 1000:
            return 0
        least = 2 if abs(self.value) < 100 else 1
        if self.half_width < ROUNDING:
            return least
        return min(5, max(least, math.ceil(-math.log10(self.half_width))))


def _decimals_of(size: float) -> int:
    """Decimals of a number that no interval tells the precision of: none of a whole number, two digits of a small one."""
    if not math.isfinite(size) or size >= 1000 or size == int(size):
        return 0
    return 1 if size >= 100 else 2 if size >= 0.1 else min(5, 1 - math.floor(math.log10(size)))


@dataclass(frozen=True)
class TestResult(Value):
    """A test's p-value with the statistic that it is about."""

    __test__ = False  # not a test class, whatever its name begins with

    p: float
    statistic: float
    n: int
    method: str

    def __str__(self) -> str:
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else f"p = {self.p:.1e}"
        return f"{self.statistic:.3g}, {p}, n = {self.n}"
