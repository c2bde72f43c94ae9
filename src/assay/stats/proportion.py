"""Intervals for proportions. Wilson 1927, doi:10.2307/2276774: sensible at 0 and 1, where the bootstrap is not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy import stats

from assay.core.errors import DataError
from assay.stats.estimate import Estimate


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """The share of successes with its Wilson interval.

    >>> print(wilson(332, 400))
    0.83 [0.79, 0.86], n = 400
    """
    if not 0 <= successes <= n or n == 0:
        raise DataError(f"{successes} successes of {n}: expected 0 <= successes <= n and n > 0.")
    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n, "Wilson", level)


def wilson_of(correct: Bool[np.ndarray, " example"], *, level: float = 0.95) -> Estimate:
    """The share of examples that are true, with its Wilson interval."""
    return wilson(int(np.sum(correct)), len(correct), level=level)
