"""Permutation tests of two samples and of clusters: exact counts, the null's rate, and what ignoring clusters would do."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from assay.core.errors import DataError
from assay.stats import paired_permutation, permutation

RNG = np.random.default_rng(4)


def test_two_samples_by_enumeration() -> None:
    a, b = RNG.normal(size=4), RNG.normal(0.5, 1, size=3)
    every = np.concatenate([a, b])
    seen = []
    for chosen in combinations(range(7), 4):
        rest = [i for i in range(7) if i not in chosen]
        seen.append(every[list(chosen)].mean() - every[rest].mean())
    observed = a.mean() - b.mean()
    for alternative, p in (
        ("greater", np.mean(np.array(seen) >= observed - 1e-12)),
        ("less", np.mean(np.array(seen) <= observed + 1e-12)),
    ):
        found = permutation(a, b, alternative=alternative)  # type: ignore[arg-type]
        assert found.p == pytest.approx(p, abs=1e-12)  # exact: counts of 35
        assert found.statistic == pytest.approx(observed) and "exact" in found.method


def test_clusters_are_flipped_together() -> None:
    """Two clusters of 20 equal differences: 2 of 4 sign patterns are as extreme. Flipping examples would give p = 2⁻³⁹."""
    labels = [i // 20 for i in range(40)]
    assert paired_permutation(np.ones(40), np.zeros(40), clusters=labels).p == pytest.approx(0.5)
    assert paired_permutation(np.ones(40), np.zeros(40)).p < 0.001


def test_clustered_flips_by_enumeration() -> None:
    values, labels = RNG.normal(0.4, 1, size=9), [0, 0, 0, 1, 2, 2, 3, 3, 3]
    sums = np.array([values[np.array(labels) == c].sum() for c in range(4)])
    seen = np.array([np.dot(signs, sums) for signs in product((1, -1), repeat=4)]) / 9
    found = paired_permutation(values, np.zeros(9), clusters=labels, alternative="greater")
    assert found.p == pytest.approx(np.mean(seen >= values.mean() - 1e-12), abs=1e-12)  # counts of 16


def test_clusters_of_two_samples_move_together() -> None:
    """Random cluster means, no difference: the clustered test keeps 5 %, the one that ignores clusters does not."""
    rng = np.random.default_rng(0)
    clustered = ignoring = 0
    labels = ([f"a{i // 10}" for i in range(80)], [f"b{i // 10}" for i in range(80)])
    for trial in range(100):
        a, b = (np.repeat(rng.normal(size=8), 10) + rng.normal(0, 0.3, 80) for _ in range(2))
        clustered += permutation(a, b, clusters=labels, resamples=200, seed=trial).p <= 0.05
        ignoring += permutation(a, b, resamples=200, seed=trial).p <= 0.05
    assert clustered <= 12  # 5 expected; more than 12 has a chance of .0015
    assert ignoring >= 25


def test_a_p_from_resamples_is_never_zero() -> None:
    assert permutation(np.arange(100.0), np.arange(100.0) + 1000, resamples=99).p >= 0.01


def test_labels_for_each_example() -> None:
    with pytest.raises(DataError, match="2 cluster labels for 3 examples"):
        paired_permutation(np.zeros(3), np.ones(3), clusters=["a", "b"])
