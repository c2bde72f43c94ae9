"""Means over examples with their 95 % intervals, for figures and tables.

The interval is Student's t on the examples as independent draws: quick, and good enough to read a figure by. Verdicts
rest on the bootstrap intervals of `studies.evaluate`, never on these. Of what is right or wrong on each example it is
Wilson's: a handful of right answers leaves room for wrong ones. A share of what is kept is a ratio of means, so
its interval is a percentile bootstrap that draws examples of all its parts together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import t as student

from assay.stats.proportion import wilson

EXAMPLE = "example"
RESAMPLES = 1000


@dataclass(frozen=True)
class Means:
    """Means, the lower and upper ends of their intervals (None: no examples), and how many examples there are."""

    value: xr.DataArray
    low: xr.DataArray | None
    high: xr.DataArray | None
    n: int
    how: str = "Student's t"


def means(array: xr.DataArray) -> Means:
    """The mean over examples at every place."""
    n = array.sizes.get(EXAMPLE, 0)
    if n and array.dtype == bool:
        return _wilson(array.sum(EXAMPLE), n)
    array = array.astype(float)
    if not n:
        return Means(array, None, None, 0)
    value = array.mean(EXAMPLE)
    if n < 2:
        return Means(value, None, None, n)
    half = array.std(EXAMPLE, ddof=1) / np.sqrt(n) * student.ppf(0.975, n - 1)
    return Means(value, value - half, value + half, n)


def _wilson(right: xr.DataArray, n: int) -> Means:
    """One interval for each count of right answers that there is: at most n + 1, however many places there are."""
    found = {count: wilson(count, n) for count in np.unique(right).tolist()}
    value, low, high = (
        xr.apply_ufunc(np.vectorize(lambda count, end=end: getattr(found[count], end), otypes=[float]), right)
        for end in ("value", "low", "high")
    )
    return Means(value, low, high, n, "Wilson's")


def shares(
    kept: Float[np.ndarray, "set example"], none: Float[np.ndarray, " example"], whole: Float[np.ndarray, " example"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each set keeps, from none (0) to all (1), with the ends of its interval."""
    n = len(none)
    drawn = np.random.default_rng(0).integers(0, n, size=(RESAMPLES, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in drawn]) / n
    zero, one = weights @ none, weights @ whole
    with np.errstate(divide="ignore", invalid="ignore"):
        boot = (weights @ kept.T - zero[:, None]) / (one - zero)[:, None]
        value = (kept.mean(axis=1) - none.mean()) / (whole.mean() - none.mean())
    boot = np.where(np.isfinite(boot), boot, value)
    low, high = np.quantile(boot, [0.025, 0.975], axis=0)
    return value, low, high
