"""Seeds as a random effect: how much of the spread is between seeds, and an interval that another seed belongs to.

The runs of a method with several seeds on the same examples are a table of seed × example. Taking each cell for an
independent example makes intervals too short by the square root of the examples' number where seeds matter. Here

    value = mean + seed + example + rest          each random, with its own variance

The variances are found from mean squares (for complete tables the same as REML, negative ones set to 0); the mean's
interval is t with Satterthwaite's degrees of freedom. With examples of their own for each seed, examples are inside seeds.
Needs at least two seeds; with fewer than about five, the interval is wide, and rightly so. Complete tables only: no other
library is needed for them. Source: Searle, Casella & McCulloch 1992, *Variance components*, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.errors import DataError
from assay.stats.estimate import Estimate
from assay.stats.value import Value

Examples = Literal["shared", "own"]


@dataclass(frozen=True)
class SeedEffect(Value):
    """The mean over seeds and examples, and the standard deviation of what each adds."""

    mean: Estimate
    seeds: int
    sd_seed: float
    sd_example: float | None
    sd_rest: float

    @property
    def share(self) -> float:
        """The share of one value's variance that the seed accounts for (the intraclass correlation)."""
        every = self.sd_seed**2 + (self.sd_example or 0.0) ** 2 + self.sd_rest**2
        return self.sd_seed**2 / every if every else 0.0

    def __str__(self) -> str:
        digits = self.mean.decimals() + 1
        apart = f"seeds differ by {self.sd_seed:.{digits}f} (sd), {self.share:.0%} of the variance"
        return f"{self.mean}, {self.seeds} seeds; {apart}"


def seed_effect(
    values: Float[np.ndarray, "seed example"] | Sequence[Sequence[float]],
    *,
    examples: Examples = "shared",
    level: float = 0.95,
) -> SeedEffect:
    """The mean and its variance components from one value for each seed and example.

    `examples="shared"`: column e is the same example for every seed. `"own"`: each seed has examples of its own.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[0] < 2 or not np.isfinite(table).all():
        raise DataError(
            f"Values of at least two seeds on as many examples each are wanted, all finite; not of shape {table.shape}."
        )
    s, e = table.shape
    if e == 1:
        return _of_numbers(table[:, 0], level)
    grand, by_seed, by_example = table.mean(), table.mean(1), table.mean(0)
    between = e * float(((by_seed - grand) ** 2).sum()) / (s - 1)
    if examples == "own":
        within = float(((table - by_seed[:, None]) ** 2).sum()) / (s * (e - 1))
        mean = _estimate(float(grand), [(between, s - 1)], table.size, examples=e, level=level)
        return SeedEffect(mean, s, sqrt(max(0.0, between - within) / e), None, sqrt(within))
    across = s * float(((by_example - grand) ** 2).sum()) / (e - 1)
    rest = float(((table - by_seed[:, None] - by_example[None, :] + grand) ** 2).sum()) / ((s - 1) * (e - 1))
    squares = [(between, s - 1), (across, e - 1), (-rest, (s - 1) * (e - 1))]
    if across <= rest:  # no variance between examples: what is left are the seeds
        squares = [(between, s - 1)]
    elif between <= rest:
        squares = [(across, e - 1)]
    mean = _estimate(float(grand), squares, table.size, examples=e, level=level)
    return SeedEffect(mean, s, sqrt(max(0.0, between - rest) / e), sqrt(max(0.0, across - rest) / s), sqrt(rest))


def _estimate(
    value: float, squares: Sequence[tuple[float, int]], divisor: int, *, examples: int, level: float
) -> Estimate:
    """The mean's variance is a sum of mean squares over `divisor`; its degrees of freedom are Satterthwaite's."""
    total = sum(square for square, _ in squares)
    spread = sum(square**2 / df for square, df in squares)
    df = total**2 / spread if spread else float(squares[0][1])
    half = float(stats.t.ppf((1 + level) / 2, max(df, 1.0))) * sqrt(total / divisor)
    return Estimate(
        value, value - half, value + half, examples, f"variance components, t with {max(df, 1.0):.3g} df", level
    )


def _of_numbers(values: Float[np.ndarray, " seed"], level: float) -> SeedEffect:
    """One number for each seed: all spread is between seeds."""
    s, sd = len(values), float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, s - 1)) * sd / sqrt(s)
    value = float(values.mean())
    mean = Estimate(value, value - half, value + half, s, f"t over seeds, {s - 1} df", level)
    return SeedEffect(mean, s, sd, None, 0.0)
