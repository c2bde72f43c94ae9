"""Effect sizes with intervals: Cohen's d, Hedges' g, the paired dz, Cliff's delta, the odds ratio.

The intervals of d, g and dz come from the noncentral t distribution, exact for normal data (Cumming & Finch 2001,
doi:10.1177/0013164401614002). Cliff's delta, the chance that a value of one sample is the larger minus the chance that it
is the smaller, asks for no distribution (Cliff 1993, doi:10.1037/0033-2909.114.3.494; the asymmetric interval of Feng &
Cliff 2004). The odds ratio is the conditional one with Fisher's exact interval, defined with empty cells too.

All suppose examples that don't hang together. Cost: nothing worth naming, but for delta: one comparison for each two.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, sqrt

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from assay.core.errors import DataError
from assay.stats.estimate import Estimate
from assay.stats.examples import numbers_of, paired_numbers


def cohen_d(
    first: Float[np.ndarray, " example"], second: Float[np.ndarray, " other"], *, level: float = 0.95
) -> Estimate:
    """The difference of two means in units of their pooled standard deviation."""
    value, low, high, n = _d(first, second, level)
    return Estimate(value, low, high, n, "Cohen's d, noncentral t", level)


def hedges_g(
    first: Float[np.ndarray, " example"], second: Float[np.ndarray, " other"], *, level: float = 0.95
) -> Estimate:
    """Cohen's d without its bias in small samples."""
    value, low, high, n = _d(first, second, level)
    df = n - 2
    correction = exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)
    ends = (correction * low, correction * high)
    return Estimate(correction * value, *ends, n, "Hedges' g, noncentral t", level)


def paired_dz(
    first: Float[np.ndarray, " example"], second: Float[np.ndarray, " example"], *, level: float = 0.95
) -> Estimate:
    """The mean of `first − second` in units of the differences' standard deviation."""
    difference = np.subtract(*paired_numbers(first, second))
    n = len(difference)
    _two_different(difference)
    value = float(difference.mean() / difference.std(ddof=1))
    low, high = _noncentrality(value * sqrt(n), n - 1, level)
    return Estimate(value, low / sqrt(n), high / sqrt(n), n, "paired dz, noncentral t", level)


def cliffs_delta(
    first: Float[np.ndarray, " example"], second: Float[np.ndarray, " other"], *, level: float = 0.95
) -> Estimate:
    """P(first > second) − P(first < second); 0 for samples that can't be told apart, ±1 for ones that don't overlap."""
    a, b = numbers_of(first), numbers_of(second)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise DataError("Cliff's delta needs at least two examples in each sample.")
    signs = np.sign(a[:, None] - b[None, :])
    delta = float(signs.mean())
    z = float(stats.norm.ppf((1 + level) / 2))
    if (
        abs(delta) == 1
    ):  # no overlap: the variance is unknown, the nearest value that 1 is still likely under is Cliff's
        near = (min(n, m) - z * z) / (min(n, m) + z * z)
        low, high = (near, 1.0) if delta > 0 else (-1.0, -near)
        return Estimate(delta, low, high, n + m, "Cliff's delta, no overlap", level)
    rows, columns = signs.mean(1) - delta, signs.mean(0) - delta
    squares = float(((signs - delta) ** 2).sum())
    variance = (m * m * float(rows @ rows) + n * n * float(columns @ columns) - squares) / (n * m * (n - 1) * (m - 1))
    variance = max(variance, (1 - delta * delta) / (n * m - 1))  # Cliff's lower bound: the estimate can be negative
    wide = z * sqrt(variance) * sqrt((1 - delta**2) ** 2 + z * z * variance)
    ends = [(delta - delta**3 + sign * wide) / (1 - delta**2 + z * z * variance) for sign in (-1, 1)]
    return Estimate(delta, max(ends[0], -1.0), min(ends[1], 1.0), n + m, "Cliff's delta, asymmetric", level)


def odds_ratio(table: Sequence[Sequence[int]], *, level: float = 0.95) -> Estimate:
    """The odds ratio of a table [[a, b], [c, d]] of counts: of a to b against c to d.

    >>> print(odds_ratio([[8, 2], [1, 5]]))
    15.47 [1.01, 1059.64], n = 16
    """
    counts = np.asarray(table)
    if counts.shape != (2, 2) or (counts < 0).any() or not np.issubdtype(counts.dtype, np.integer):
        raise DataError("An odds ratio is of four counts: [[a, b], [c, d]].")
    if (counts.sum(0) == 0).any() or (counts.sum(1) == 0).any():
        raise DataError("A row or a column of the table is empty: there are no odds to compare.")
    found = stats.contingency.odds_ratio(counts, kind="conditional")
    interval = found.confidence_interval(confidence_level=level)
    method = "conditional odds ratio, exact interval"
    return Estimate(float(found.statistic), float(interval.low), float(interval.high), int(counts.sum()), method, level)


def _d(first: np.ndarray, second: np.ndarray, level: float) -> tuple[float, float, float, int]:
    a, b = numbers_of(first), numbers_of(second)
    if min(len(a), len(b)) < 2:
        raise DataError("An effect size needs at least two examples in each sample.")
    df = len(a) + len(b) - 2
    pooled = sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / df)
    if pooled == 0:
        raise DataError("All values of each sample are alike: the effect has no unit to be measured in.")
    scale = sqrt(1 / len(a) + 1 / len(b))
    value = float((a.mean() - b.mean()) / pooled)
    low, high = _noncentrality(value / scale, df, level)
    return value, low * scale, high * scale, len(a) + len(b)


def _two_different(values: np.ndarray) -> None:
    if len(values) < 2 or np.ptp(values) == 0:
        raise DataError("All differences are alike: the effect has no unit to be measured in.")


def _noncentrality(t: float, df: int, level: float) -> tuple[float, float]:
    """The noncentralities under which t is just not too large, and just not too small."""

    def solved(share: float) -> float:
        def gap(centre: float) -> float:
            return float(stats.nct.cdf(t, df, centre)) - share

        width = 4.0 + abs(t)
        while gap(t - width) * gap(t + width) > 0 and width < 1e4:
            width *= 2
        return float(optimize.brentq(gap, t - width, t + width, xtol=1e-10))

    tail = (1 - level) / 2
    return solved(1 - tail), solved(tail)
