"""How far two Scores agree: rank correlation, the overlap of their best, rank-biased overlap; and Jaccard of two sets.

Both must score the same components. The interval is a bootstrap over examples, drawn together for both, where both keep
values for the same number of examples (say that they are the same ones by giving both from one data set); otherwise it is
over components, and the method says which. The mean scores are worked out again in each resample. Note that scores with
noise agree less than what they measure does: two halves of the examples of one method give the ceiling.

Sources: Webber et al. 2010, doi:10.1145/1852102.1852106 (RBO, extrapolated); Kendall's tau-b counts ties.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from assay.core.errors import DataError, nearest
from assay.core.protocols import Scores
from assay.stats.bootstrap import Units, bootstrap_statistic
from assay.stats.estimate import Estimate

Vector = Float[np.ndarray, " component"]
Measure = Callable[[Vector, Vector], float]


def spearman(first: Scores, second: Scores, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Estimate:
    """The correlation of ranks."""
    return _agreement(first, second, _spearman, "Spearman's rho", level, resamples, seed)


def kendall(first: Scores, second: Scores, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Estimate:
    """The share of pairs in the same order minus the share in the other; ties belong to neither (tau-b)."""
    return _agreement(first, second, _kendall, "Kendall's tau-b", level, resamples, seed)


def top_overlap(
    first: Scores,
    second: Scores,
    *,
    k: int,
    absolute: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The Jaccard overlap of the k best of each; the method names what chance gives. `absolute`: best by size."""
    n = len(first)
    if not 1 <= k <= n:
        raise DataError(f"The {k} best of {n} components: expected from 1 to {n}.")

    def overlap(a: Vector, b: Vector) -> float:
        return jaccard(set(_best(a, absolute)[:k].tolist()), set(_best(b, absolute)[:k].tolist()))

    name = f"Jaccard of the {k} best of {n} (chance {chance_overlap(k, n):.2f})"
    return _agreement(first, second, overlap, name, level, resamples, seed, by_component=False)


def rank_biased_overlap(
    first: Scores,
    second: Scores,
    *,
    p: float = 0.9,
    absolute: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The overlap of the best at every depth, deeper ones weighted down by `p` for each rank: about the first 1 / (1 − p)."""
    if not 0 < p < 1:
        raise DataError(f"p = {p}: expected between 0 and 1.")

    def overlap(a: Vector, b: Vector) -> float:
        return _rbo(_best(a, absolute), _best(b, absolute), p)

    return _agreement(first, second, overlap, f"RBO, p = {p:g}", level, resamples, seed, by_component=False)


def jaccard(first: Collection[object], second: Collection[object]) -> float:
    """The share of all that is in either set which is in both; 1 for two empty sets.

    >>> jaccard({"L0.H1", "L2.mlp"}, {"L2.mlp", "L3.mlp"})
    0.3333333333333333
    """
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def chance_overlap(k: int, n: int) -> float:
    """The expected Jaccard overlap of two random sets of k among n."""
    shared = np.arange(max(0, 2 * k - n), k + 1)
    return float((stats.hypergeom.pmf(shared, n, k, k) * shared / (2 * k - shared)).sum())


def _agreement(
    first: Scores,
    second: Scores,
    measure: Measure,
    name: str,
    level: float,
    resamples: int,
    seed: int,
    *,
    by_component: bool = True,
) -> Estimate:
    order = _same_components(first, second)
    a, b = first.values, second.values[order]
    rows = None if first.per_example is None or second.per_example is None else (first.per_example, second.per_example)
    if rows is not None and rows[0].shape == rows[1].shape:
        one, two = rows[0], rows[1][order]

        def over_examples(drawn: Int[np.ndarray, " example"]) -> float:
            return measure(one[:, drawn].mean(1), two[:, drawn].mean(1))

        units, statistic, what = Units(one.shape[1]), over_examples, "examples"
    elif not by_component:
        value = measure(a, b)
        return Estimate(value, -np.inf, np.inf, len(a), f"{name}; no interval without values for each example", level)
    else:

        def over_components(drawn: Int[np.ndarray, " component"]) -> float:
            return measure(a[drawn], b[drawn])

        units, statistic, what = Units(len(a)), over_components, "components"
    found = bootstrap_statistic(statistic, [units], kind="percentile", level=level, resamples=resamples, seed=seed)
    method = f"{name}, {found.method} over {what}"
    return Estimate(measure(a, b), found.low, found.high, found.n, method, level)


def _same_components(first: Scores, second: Scores) -> Int[np.ndarray, " component"]:
    where = {name: i for i, name in enumerate(second.components)}
    missing = [name for name in first.components if name not in where]
    if missing or len(first) != len(second):
        odd = missing or [name for name in second.components if name not in set(first.components)]
        raise DataError(
            f"Two Scores are compared over the same components: {len(odd)} are in one only, such as {odd[0]!r}."
            f"{nearest(odd[0], where)} `only` picks a part of each."
        )
    if np.isnan(first.values).any() or np.isnan(second.values).any():
        raise DataError("Scores that are NaN have no rank.")
    return np.array([where[name] for name in first.components])


def _spearman(a: Vector, b: Vector) -> float:
    return _correlation(stats.rankdata(a), stats.rankdata(b))


def _correlation(a: Vector, b: Vector) -> float:
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size else float("nan")


def _kendall(a: Vector, b: Vector) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.kendalltau(a, b).statistic)


def _best(values: Vector, absolute: bool) -> Int[np.ndarray, " component"]:
    return np.argsort(-(np.abs(values) if absolute else values), kind="stable")


def _rbo(first: Int[np.ndarray, " component"], second: Int[np.ndarray, " component"], p: float) -> float:
    """RBO of two complete rankings, the agreement at the last depth taken to go on."""
    n = len(first)
    rank_first, rank_second = np.argsort(first), np.argsort(second)
    depth_when_in_both = np.maximum(rank_first, rank_second)
    agreement = np.cumsum(np.bincount(depth_when_in_both, minlength=n)) / np.arange(1, n + 1)
    weights = p ** np.arange(n)
    return float((1 - p) * (agreement * weights).sum() + agreement[-1] * p**n)
