"""Paired tests: the same examples under two conditions.

`paired_t` for means, `wilcoxon` for shifts of differences that are symmetric about their median but heavy-tailed, `mcnemar`
for right and wrong answers. Where examples hang together use `paired_permutation` with clusters: none of these knows them.
Sources: Wilcoxon 1945, doi:10.2307/3001968; McNemar 1947, doi:10.1007/BF02295996 (the exact binomial form is used).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from assay.core.errors import DataError
from assay.stats.estimate import TestResult
from assay.stats.examples import paired_numbers
from assay.stats.permutation import Alternative


def paired_t(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    *,
    alternative: Alternative = "two-sided",
) -> TestResult:
    """Student's t of the mean of `first − second`. Differences that are all alike give t = 0 or ±∞."""
    difference = np.subtract(*paired_numbers(first, second))
    if len(difference) < 2:
        raise DataError("A t test needs at least two examples.")
    method = f"paired t, {len(difference) - 1} df, {alternative}"
    if np.ptp(difference) == 0:
        sign = float(np.sign(difference[0]))
        p = 1.0 if sign == 0 else {"two-sided": 0.0, "greater": float(sign < 0), "less": float(sign > 0)}[alternative]
        return TestResult(p, sign * np.inf if sign else 0.0, len(difference), method)
    n = len(difference)
    t = float(difference.mean() / (difference.std(ddof=1) / np.sqrt(n)))
    tails = {"two-sided": 2 * stats.t.sf(abs(t), n - 1), "greater": stats.t.sf(t, n - 1), "less": stats.t.cdf(t, n - 1)}
    return TestResult(float(tails[alternative]), t, n, method)


def wilcoxon(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"],
    *,
    alternative: Alternative = "two-sided",
) -> TestResult:
    """Wilcoxon's signed ranks of `first − second`; examples without a difference are left out, as he did."""
    difference = np.subtract(*paired_numbers(first, second))
    moved = difference[difference != 0]
    left = len(difference) - len(moved)
    method = f"Wilcoxon signed rank, {alternative}" + (f", {left} without a difference left out" if left else "")
    if not len(moved):
        return TestResult(1.0, 0.0, len(difference), method)
    tied = len(np.unique(np.abs(moved))) < len(moved)
    how = "exact" if len(moved) <= 50 and not tied else "asymptotic"
    found = stats.wilcoxon(moved, alternative=alternative, method=how, correction=how == "asymptotic")
    return TestResult(float(found.pvalue), float(found.statistic), len(difference), f"{method}, {how}")


def mcnemar(
    first: Bool[np.ndarray, " example"],
    second: Bool[np.ndarray, " example"],
    *,
    alternative: Alternative = "two-sided",
) -> TestResult:
    """Do two conditions get different shares right? Exact, from the examples on which they differ.

    The statistic is the difference of the two shares.
    """
    a, b = (array.astype(bool) for array in paired_numbers(first, second))
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    differing = only_first + only_second
    p = stats.binomtest(only_first, differing, 0.5, alternative=alternative).pvalue if differing else 1.0
    share = (only_first - only_second) / len(a)
    return TestResult(float(p), share, len(a), f"McNemar, exact, {differing} examples differ, {alternative}")
