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
    """A number, its interval at `level`, the number of examples behind it, and how the interval was made."""

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

    def __str__(self) -> str:
        within = f" in {self.clusters} clusters" if self.clusters is not None else ""
        return f"{self.text_of_interval()}, n = {self.n}{within}"

    def text_of_interval(self) -> str:
        """The number and its interval, without how many examples: for where that stands beside it already."""
        digits = self.decimals()
        text = f"{self.value:z.{digits}f} [{self.low:z.{digits}f}, {self.high:z.{digits}f}]"
        return text if self.level == 0.95 else f"{text} ({100 * self.level:.4g} %)"

    def decimals(self) -> int:
        """Decimals worth printing: enough to show the interval's width, at least two unless the number is large."""
        if not math.isfinite(self.half_width) or abs(self.value) >= 1000:
            return 0
        least = 2 if abs(self.value) < 100 else 1
        if self.half_width < ROUNDING:
            return least
        return min(5, max(least, math.ceil(-math.log10(self.half_width))))


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
