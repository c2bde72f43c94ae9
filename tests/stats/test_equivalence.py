"""Equivalence: both one-sided tests by scipy, the rate of false claims at the margin's edge, and that a large p is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import tost, tost_bootstrap

VALUES = np.random.default_rng(0).normal(0.1, 1, 40)


def test_p_is_the_larger_of_two_tests() -> None:
    found = tost(VALUES, margin=(-0.4, 0.6))
    above = stats.ttest_1samp(VALUES, -0.4, alternative="greater").pvalue
    below = stats.ttest_1samp(VALUES, 0.6, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below), abs=1e-12)
    assert found.estimate.level == pytest.approx(0.9)


@pytest.mark.parametrize("test", [tost, tost_bootstrap])
def test_inside_just_when_p_is_small(test: object) -> None:
    for margin in (0.2, 0.3, 0.45, 0.6, 1.0):
        found = test(VALUES, margin=margin)  # type: ignore[operator]
        if abs(found.p - 0.05) > 0.02:  # of a bootstrap, interval and p are two estimates
            assert found.equivalent == (found.p < 0.05)


def test_few_examples_without_a_difference_are_no_evidence_of_none() -> None:
    small = np.array([0.9, -1.0, 0.5, -0.4])
    assert stats.ttest_1samp(small, 0).pvalue > 0.9
    assert not tost(small, margin=0.3).equivalent
    assert "not shown to be inside ±0.3" in str(tost(small, margin=0.3))


@pytest.mark.parametrize("test", [tost, tost_bootstrap])
def test_a_difference_at_the_edge_is_called_equivalent_in_one_of_twenty(test: object) -> None:
    rng = np.random.default_rng(1)
    options = {} if test is tost else {"resamples": 200}
    claims = sum(test(rng.normal(0.5, 1, 40), margin=0.5, **options).equivalent for _ in range(100))  # type: ignore[operator]
    assert 1 <= claims <= 12  # 5 expected; outside has a chance of .007


def test_power_is_there_when_the_difference_is_none() -> None:
    rng = np.random.default_rng(2)
    assert sum(tost(rng.normal(0, 1, 60), margin=0.5).equivalent for _ in range(50)) >= 45  # power .99


def test_clusters_make_it_harder() -> None:
    values, labels = np.repeat(VALUES[:20] - VALUES[:20].mean(), 20), [i // 20 for i in range(400)]
    for test in (tost, tost_bootstrap):
        assert test(values, margin=0.3).equivalent
        assert not test(values, margin=0.3, clusters=labels).equivalent  # the standard error is 4.5 times as large


def test_pairs_and_margins() -> None:
    assert tost(VALUES + 0.01, VALUES, margin=0.02).p < 1e-12
    assert tost(VALUES + 0.03, VALUES, margin=0.02).p == pytest.approx(1)
    assert tost(np.full(4, 0.1), margin=0.2).p == 0
    for margin in (0.0, -1.0, (0.5, 0.1)):
        with pytest.raises(DataError, match="is empty"):
            tost(VALUES, margin=margin)
