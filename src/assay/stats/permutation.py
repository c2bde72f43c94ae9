"""The paired permutation test: is the mean difference larger than swapping the two in each pair would give?

Cost: `resamples` means. Exact (all swaps) when there are fewer than `resamples` of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.errors import DataError
from assay.stats.estimate import TestResult

Alternative = Literal["two-sided", "greater", "less"]


def paired_permutation(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> TestResult:
    """The p-value of the mean of `first − second` when the two could as well be swapped within each example."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"A paired test needs the same examples twice: shapes {a.shape} and {b.shape}.")

    def mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.mean(x - y, axis=axis))

    found = stats.permutation_test(
        (a, b),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
    exact = 2 ** len(a) <= resamples
    method = f"paired permutation, {'exact' if exact else f'{resamples} resamples'}, {alternative}"
    return TestResult(float(found.pvalue), float(found.statistic), len(a), method)
