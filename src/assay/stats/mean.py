"""Intervals of a mean from Student's t: what the bootstrap is compared with, and the better one where examples are few.

Valid for means of examples that don't hang together and are not extremely skewed. With clusters, each cluster's mean counts
once: the number is then the mean over clusters, as if each had as many examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.errors import DataError
from assay.stats.estimate import Estimate
from assay.stats.examples import cluster_means, numbers_of, paired_numbers


def mean(
    values: Float[np.ndarray, " example"], *, clusters: Sequence[object] | None = None, level: float = 0.95
) -> Estimate:
    """The mean with its t interval.

    >>> print(mean([1.0, 2.0, 3.0, 4.0, 5.0]))
    3.00 [1.04, 4.96], n = 5
    """
    numbers = numbers_of(values)
    units = numbers if clusters is None else cluster_means(numbers, clusters)
    if len(units) < 2:
        raise DataError(f"A mean of {len(units)} has no interval: at least two are needed.")
    value = float(units.mean())
    error = float(units.std(ddof=1)) / np.sqrt(len(units))
    half = float(stats.t.ppf((1 + level) / 2, len(units) - 1)) * float(error)
    method = f"t, {len(units) - 1} df" + ("" if clusters is None else ", each cluster counted once")
    return Estimate(
        value, value - half, value + half, len(numbers), method, level, None if clusters is None else len(units)
    )


def mean_difference(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The mean of `first − second` for the same examples with its t interval."""
    a, b = paired_numbers(first, second)
    return mean(a - b, clusters=clusters, level=level)
