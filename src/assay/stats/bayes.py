"""Bayes factors, for those who ask: how many times likelier the data are under an effect than under none.

`jzs` is the default t test of Rouder et al. 2009 (doi:10.3758/PBR.16.2.225): a Cauchy prior of scale r on the standardised
effect. `binomial_bayes` has a beta prior on the share. A factor is only as meaningful as its prior, which the method names.
Cost: one integral.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from jaxtyping import Float
from scipy import integrate, special

from assay.core.errors import DataError
from assay.stats.examples import numbers_of, paired_numbers
from assay.stats.value import Value

MEDIUM = sqrt(2) / 2


@dataclass(frozen=True)
class BayesFactor(Value):
    """The evidence for an effect against none; below 1 it speaks for none."""

    bf10: float
    n: int
    method: str

    def __str__(self) -> str:
        if self.bf10 >= 1:
            return f"BF10 = {self.bf10:.3g}, n = {self.n}"
        return f"BF10 = {self.bf10:.3g} (for no effect: {1 / self.bf10:.3g}), n = {self.n}"


def jzs(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " other"] | None = None,
    *,
    paired: bool = True,
    scale: float = MEDIUM,
) -> BayesFactor:
    """The JZS Bayes factor of a mean that is not 0: of one sample, of paired differences, or of two samples."""
    if second is None or paired:
        values = numbers_of(first) if second is None else np.subtract(*paired_numbers(first, second))
        n, size, df = len(values), float(len(values)), len(values) - 1
        if df < 1:
            raise DataError("A t test needs at least two examples.")
        t = _t(float(values.mean()), values.var(ddof=1), size)
    else:
        a, b = numbers_of(first), numbers_of(second)
        n, size, df = len(a) + len(b), len(a) * len(b) / (len(a) + len(b)), len(a) + len(b) - 2
        pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / df
        t = _t(float(a.mean() - b.mean()), pooled, size)
    return BayesFactor(_jzs(t, size, df, scale), n, f"JZS t test, Cauchy prior of scale {scale:.3g}")


def binomial_bayes(
    successes: int, n: int, *, share: float = 0.5, prior: tuple[float, float] = (1.0, 1.0)
) -> BayesFactor:
    """The Bayes factor of a share that is not `share`, with a beta prior on what it is instead.

    >>> print(binomial_bayes(115, 200))
    BF10 = 0.835 (for no effect: 1.2), n = 200
    """
    if not 0 <= successes <= n or n == 0 or not 0 < share < 1 or min(prior) <= 0:
        raise DataError("Expected 0 <= successes <= n, n > 0, a share between 0 and 1, and a positive prior.")
    a, b = prior
    effect = special.betaln(successes + a, n - successes + b) - special.betaln(a, b)
    none = successes * log(share) + (n - successes) * log(1 - share)
    return BayesFactor(float(exp(effect - none)), n, f"binomial, Beta({a:g}, {b:g}) prior against {share:g}")


def _jzs(t: float, size: float, df: int, scale: float) -> float:
    """Rouder et al.'s equation 1, with g scaled by the prior's scale; relative to its largest value, so as not to overflow."""

    def weight(log_g: float) -> float:
        g = exp(log_g)
        spread = 1 + size * g * scale**2
        likelihood = -0.5 * log(spread) - (df + 1) / 2 * np.log1p(t * t / (spread * df))
        prior = -0.5 * log(2 * np.pi) - 1.5 * log_g - 1 / (2 * g)
        return float(likelihood + prior + log_g - none)

    none = -(df + 1) / 2 * float(np.log1p(t * t / df))
    grid = np.linspace(-12, 40, 521)
    heights = [weight(each) for each in grid]
    top = max(heights)
    peak = float(grid[int(np.argmax(heights))])
    area, _ = integrate.quad(lambda x: exp(weight(x) - top), -12, 60, points=[peak], limit=400)
    return float(exp(top) * area) if top < 700 else float("inf")


def _t(difference: float, variance: float, size: float) -> float:
    if variance <= 0:
        raise DataError("The values are all alike: a t test's Bayes factor is undefined.")
    return difference / sqrt(variance / size)
