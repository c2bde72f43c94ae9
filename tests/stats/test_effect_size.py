"""Effect sizes against definitions, closed forms and scipy, and their intervals' coverage."""

from __future__ import annotations

from math import gamma, sqrt

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import Estimate, cliffs_delta, cohen_d, hedges_g, odds_ratio, paired_dz

RNG = np.random.default_rng(1)
A, B = RNG.normal(1, 2, 15), RNG.normal(0, 2, 12)


def test_d_and_g_are_what_their_names_say() -> None:
    pooled = sqrt((14 * A.var(ddof=1) + 11 * B.var(ddof=1)) / 25)
    d, g = cohen_d(A, B), hedges_g(A, B)
    assert d.value == pytest.approx((A.mean() - B.mean()) / pooled, abs=1e-12)
    assert g.value == pytest.approx(d.value * gamma(12.5) / (sqrt(12.5) * gamma(12)), abs=1e-12)
    assert g.value == pytest.approx(d.value * (1 - 3 / (4 * 25 - 1)), rel=1e-3)  # Hedges' approximation


def test_the_interval_ends_make_the_data_just_likely_enough() -> None:
    d = cohen_d(A, B, level=0.9)
    t, scale = stats.ttest_ind(A, B).statistic, sqrt(1 / 15 + 1 / 12)
    assert stats.nct.cdf(t, 25, d.low / scale) == pytest.approx(0.95, abs=1e-8)  # brentq stops at 1e-10
    assert stats.nct.cdf(t, 25, d.high / scale) == pytest.approx(0.05, abs=1e-8)


def test_the_interval_excludes_zero_just_when_the_test_rejects() -> None:
    for shift in np.linspace(0.2, 1.5, 8):
        found = paired_dz(A[:12] + shift, B)
        assert (found.low > 0) == (stats.ttest_rel(A[:12] + shift, B).pvalue < 0.05)


def test_large_effects_have_an_interval() -> None:
    found = paired_dz(np.array([100.0, 100.1, 99.9, 100.05]), np.zeros(4))
    assert 100 < found.low < found.value < found.high < 5000


@pytest.mark.parametrize("make", [cohen_d, hedges_g, cliffs_delta])
def test_coverage(make: object) -> None:
    """Nominal 95 % over 300 data sets: below .915 or above .98 has a chance of less than .01."""
    rng = np.random.default_rng(7)
    truth = 2 * stats.norm.cdf(0.8 / sqrt(2)) - 1 if make is cliffs_delta else 0.8
    inside = 0
    for _ in range(300):
        found: Estimate = make(rng.normal(0.8, 1, 25), rng.normal(0, 1, 20))  # type: ignore[operator]
        inside += found.low <= truth <= found.high
    assert 0.915 <= inside / 300 <= 0.98


def test_delta_counts_pairs() -> None:
    a, b = np.array([1.0, 2, 2, 5]), np.array([1.0, 2, 3])
    by_hand = np.mean([np.sign(x - y) for x in a for y in b])
    found = cliffs_delta(a, b)
    assert found.value == pytest.approx(by_hand, abs=1e-12)
    assert cliffs_delta(b, a).value == pytest.approx(-by_hand, abs=1e-12)
    assert found.value == pytest.approx(2 * stats.mannwhitneyu(a, b).statistic / 12 - 1, abs=1e-12)


def test_delta_without_overlap_is_not_certain() -> None:
    found = cliffs_delta(np.arange(10.0) + 100, np.arange(12.0))
    z2 = stats.norm.ppf(0.975) ** 2
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx((10 - z2) / (10 + z2), abs=1e-12)
    assert cliffs_delta(np.zeros(8), np.zeros(8)).value == 0


def test_odds_of_the_tea_lady() -> None:
    """Fisher's table [[3, 1], [1, 3]]: R's fisher.test gives 6.408309. The ends solve the hypergeometric tails."""
    found = odds_ratio([[3, 1], [1, 3]])
    assert found.value == pytest.approx(6.408309, rel=1e-5)
    for odds, tail in ((found.low, (3, 4)), (found.high, (0, 1, 2, 3))):
        weights = np.array([1, 16, 36, 16, 1]) * odds ** np.arange(5.0)
        assert weights[list(tail)].sum() / weights.sum() == pytest.approx(0.025, abs=1e-6)  # scipy's solver
    assert odds_ratio([[5, 0], [2, 4]]).high == np.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: cohen_d(np.ones(3), np.ones(3)),
        lambda: paired_dz(np.ones(3), np.zeros(3)),
        lambda: cliffs_delta(np.ones(1), np.ones(3)),
        lambda: odds_ratio([[1, 2], [0, 0]]),
        lambda: odds_ratio([[1, 2, 3], [0, 0, 1]]),
    ],
)
def test_what_has_no_effect_size_is_refused(call: object) -> None:
    with pytest.raises(DataError):
        call()  # type: ignore[operator]
