"""Permutation tests: is a difference larger than exchanging labels would give?

`paired_permutation` swaps the two values within examples (a flip of the difference's sign), `permutation` moves examples
between two samples. Examples that hang together (of one template, of one pair) are flipped or moved together.

Exact when there are at most `resamples` arrangements, otherwise p = (1 + as extreme) / (1 + resamples), which never is 0.
With c clusters the smallest p of a two-sided paired test is 2^(1 − c): five clusters can't reach .05. Cost: `resamples`
sums over clusters. Source: Pitman 1937, doi:10.2307/2984124; Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.stats.estimate import TestResult
from assay.stats.examples import cluster_sums, numbers_of, paired_numbers

Alternative = Literal["two-sided", "greater", "less"]


def paired_permutation(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    *,
    clusters: Sequence[object] | None = None,
    alternative: Alternative = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> TestResult:
    """The p-value of the mean of `first − second` when the two could as well be swapped within each example.

    >>> paired_permutation([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).p
    0.25
    """
    a, b = paired_numbers(first, second)
    sums, _ = cluster_sums(a - b, clusters)

    def mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.sum(x - y, axis=axis) / len(a))

    found = _permuted((sums, np.zeros_like(sums)), mean_difference, "samples", alternative, resamples, seed)
    how = "exact" if 2 ** len(sums) <= resamples else f"{resamples} resamples"
    within = "" if clusters is None else f", {len(sums)} clusters"
    return TestResult(
        float(found.pvalue), float(found.statistic), len(a), f"paired permutation, {how}{within}, {alternative}"
    )


def permutation(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " other"],
    *,
    clusters: tuple[Sequence[object], Sequence[object]] | None = None,
    alternative: Alternative = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> TestResult:
    """The p-value of mean(first) − mean(second) when each example could as well be in the other sample.

    `clusters` labels the examples of both samples; whole clusters are moved, and the means stay means over examples.
    """
    a, b = numbers_of(first), numbers_of(second)
    parts = [cluster_sums(x, None if clusters is None else clusters[i]) for i, x in enumerate((a, b))]
    sums, sizes = (np.concatenate([part[i] for part in parts]) for i in range(2))
    m = len(parts[0][0])
    places = np.arange(len(sums))

    def mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        chosen, rest = x.astype(int), y.astype(int)
        return np.asarray(
            sums[chosen].sum(axis) / sizes[chosen].sum(axis) - sums[rest].sum(axis) / sizes[rest].sum(axis)
        )

    found = _permuted((places[:m], places[m:]), mean_difference, "independent", alternative, resamples, seed)
    how = "exact" if comb(len(places), m) <= resamples else f"{resamples} resamples"
    within = "" if clusters is None else f", {m} and {len(places) - m} clusters"
    return TestResult(
        float(found.pvalue), float(found.statistic), len(a) + len(b), f"permutation, {how}{within}, {alternative}"
    )


def _permuted(
    data: tuple[np.ndarray, np.ndarray], statistic: Any, kind: str, alternative: Alternative, resamples: int, seed: int
) -> Any:
    return stats.permutation_test(
        data,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // (len(data[0]) + len(data[1]))),
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
