"""Agreement between Scores: scipy's correlations, RBO's closed forms, chance, and noise over examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.stats import jaccard, kendall, rank_biased_overlap, spearman, top_overlap
from assay.stats.overlap import chance_overlap

RNG = np.random.default_rng(3)
NAMES = [f"L{i}.mlp" for i in range(12)]
FAST = {"resamples": 100}


def scores(values: np.ndarray, rows: np.ndarray | None = None) -> Scores:
    return Scores(tuple(NAMES[: len(values)]), values, "size", rows)


def test_correlations_are_scipys_with_ties_too() -> None:
    a, b = RNG.integers(0, 5, 12).astype(float), RNG.integers(0, 5, 12).astype(float)
    assert spearman(scores(a), scores(b), **FAST).value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert kendall(scores(a), scores(b), **FAST).value == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)


def test_components_are_matched_by_name() -> None:
    a = Scores.of({"L0.mlp": 1.0, "L1.mlp": 2.0, "L2.mlp": 3.0}, "size")
    b = Scores.of({"L2.mlp": 3.0, "L0.mlp": 1.0, "L1.mlp": 2.0}, "size")
    assert spearman(a, b, **FAST).value == pytest.approx(1)
    with pytest.raises(DataError, match=r"1 are in one only, such as 'L2\.mlp'"):
        spearman(a, b.only("L[01].mlp"))


def test_the_interval_is_over_examples_where_there_are_any() -> None:
    truth = np.arange(12.0)
    rows = [truth[:, None] + RNG.normal(0, 8, size=(12, 60)) for _ in range(2)]
    found = spearman(scores(rows[0].mean(1), rows[0]), scores(rows[1].mean(1), rows[1]))
    assert found.n == 60 and "over examples" in found.method
    assert 0.6 < found.low < found.value < 1
    means = spearman(scores(rows[0].mean(1)), scores(rows[1].mean(1)))
    assert means.n == 12 and "over components" in means.method
    assert means.value == found.value


def test_examples_are_drawn_together() -> None:
    """One method twice on the same examples agrees in every resample; drawing for each alone would make it seem unsure."""
    rows = RNG.normal(size=(12, 30))
    found = kendall(scores(rows.mean(1), rows), scores(rows.mean(1), rows), **FAST)
    assert (found.low, found.high) == pytest.approx((1, 1))


def test_top_overlap_by_size_and_its_chance() -> None:
    a, b = scores(np.array([5.0, -4, 1, 0, 0, 0])), scores(np.array([5.0, 1, 4, 0, 0, 0]))
    found = top_overlap(a, b, k=2)
    assert found.value == pytest.approx(1 / 3)
    assert top_overlap(a, b, k=2, absolute=False).value == 1
    assert "chance" in found.method and found.high == np.inf
    with pytest.raises(DataError, match="7 best of 6"):
        top_overlap(a, b, k=7)


@pytest.mark.parametrize(("k", "n"), [(3, 20), (8, 10), (5, 5), (1, 9)])
def test_chance_by_drawing(k: int, n: int) -> None:
    drawn = [jaccard(RNG.permutation(n)[:k].tolist(), RNG.permutation(n)[:k].tolist()) for _ in range(4000)]
    assert chance_overlap(k, n) == pytest.approx(np.mean(drawn), abs=0.02)  # 4 standard errors of at most .005


def test_rbo_of_the_same_order_is_one_and_of_reversed_ones_is_little() -> None:
    a = scores(np.arange(12.0, 0, -1))
    assert rank_biased_overlap(a, a, **FAST).value == pytest.approx(1, abs=1e-12)
    assert rank_biased_overlap(a, scores(np.arange(1.0, 13)), p=0.5, **FAST).value < 0.01


def test_rbo_by_hand() -> None:
    """Orders abcd and bacd, p = .8: agreement 0, 1, 1, 1 at depths 1 to 4, then 1 for ever: 1 − (1 − p) = .8."""
    a, b = scores(np.array([4.0, 3, 2, 1])), scores(np.array([3.0, 4, 2, 1]))
    assert rank_biased_overlap(a, b, p=0.8, **FAST).value == pytest.approx(0.8, abs=1e-12)
    swapped_low = scores(np.array([4.0, 3, 1, 2]))  # agreement 1, 1, 2/3, 1: a swap further down costs less
    expected = 1 - 0.2 * 0.8**2 / 3
    assert rank_biased_overlap(a, swapped_low, p=0.8, **FAST).value == pytest.approx(expected, abs=1e-12)


def test_jaccard() -> None:
    assert jaccard([1, 2], [2, 3]) == pytest.approx(1 / 3)
    assert jaccard([], []) == 1
    assert jaccard([1], []) == 0


def test_scores_without_order() -> None:
    assert np.isnan(spearman(scores(np.ones(4)), scores(np.arange(4.0)), **FAST).value)
    with pytest.raises(DataError, match="NaN"):
        spearman(scores(np.array([np.nan, 1])), scores(np.array([0.0, 1])))
