"""Wilson, the paired permutation test and Holm against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import benjamini_hochberg, bonferroni_level, holm, paired_permutation, wilson


def test_wilson_against_its_formula() -> None:
    z, p, n = 1.959963984540054, 0.95, 60
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = wilson(57, 60)
    assert (found.low, found.high) == (pytest.approx(centre - half, abs=1e-12), pytest.approx(centre + half, abs=1e-12))


def test_wilson_at_one_does_not_claim_certainty() -> None:
    found = wilson(64, 64)
    assert found.value == 1
    assert found.low == pytest.approx(64 / (64 + 1.959963984540054**2), abs=1e-12)
    assert found.high == pytest.approx(1)


def test_wilson_refuses_nonsense() -> None:
    with pytest.raises(DataError, match="5 successes of 4"):
        wilson(5, 4)


def test_permutation_is_exact_when_small() -> None:
    """Three differences of one sign: 2 of 2³ sign patterns are as extreme, so p = 1/4."""
    found = paired_permutation(np.array([1.0, 2.0, 3.0]), np.zeros(3))
    assert found.p == pytest.approx(0.25)
    assert found.statistic == 2
    assert "exact" in found.method


def test_permutation_p_values_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    p = [paired_permutation(*rng.normal(size=(2, 12)), resamples=500, seed=i).p for i in range(150)]
    assert np.mean(np.array(p) <= 0.05) <= 0.10  # nominal 0.05, 2.8 standard errors of 0.018
    assert 0.4 <= np.mean(p) <= 0.6


def test_permutation_sees_a_real_difference() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 40)
    found = paired_permutation(shared + rng.normal(0.5, 0.5, 40), shared, alternative="greater")
    assert found.p < 0.001


def test_holm_against_a_worked_example() -> None:
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_holm_keeps_order_and_stays_below_one() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20)
    adjusted = np.array(holm(list(p)))
    assert (adjusted >= p).all() and adjusted.max() <= 1
    order = np.argsort(p)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert holm([]) == ()


def test_bonferroni_holds_all_intervals_together() -> None:
    assert bonferroni_level(0.95, 1) == pytest.approx(0.95)
    assert bonferroni_level(0.95, 5) == pytest.approx(0.99)
    with pytest.raises(DataError):
        bonferroni_level(0.95, 0)


BENJAMINI = (
    0.0001,
    0.0004,
    0.0019,
    0.0095,
    0.0201,
    0.0278,
    0.0298,
    0.0344,
    0.0459,
    0.3240,
    0.4262,
    0.5719,
    0.6528,
    0.7590,
    1.0,
)
"""The fifteen p-values of Benjamini & Hochberg 1995, section 3.2."""


def test_benjamini_hochberg_on_its_own_example() -> None:
    """They find four at a rate of .05, where Bonferroni finds three."""
    assert sum(p <= 0.05 for p in benjamini_hochberg(BENJAMINI)) == 4
    assert sum(p <= 0.05 / 15 for p in BENJAMINI) == 3
    assert sum(p <= 0.05 for p in benjamini_hochberg(BENJAMINI, dependent=True)) == 3


def test_the_false_discovery_rate_is_kept() -> None:
    """90 nulls and 10 effects: the mean share of false findings stays below .05 · .9, Holm's is lower still."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        z = rng.normal(size=100) + np.where(np.arange(100) < 10, 3.5, 0)
        adjusted = np.array(benjamini_hochberg(list(2 * stats.norm.sf(np.abs(z)))))
        found = adjusted <= 0.05
        shares.append(found[10:].sum() / max(1, found.sum()))
    assert 0.02 <= np.mean(shares) <= 0.065  # expected .045, standard error .006


def test_benjamini_hochberg_keeps_order() -> None:
    assert benjamini_hochberg([]) == ()
    with pytest.raises(DataError, match="between 0 and 1"):
        benjamini_hochberg([0.5, float("nan")])
