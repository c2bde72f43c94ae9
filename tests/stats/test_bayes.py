"""Bayes factors against published values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from assay.core.errors import DataError
from assay.stats import binomial_bayes, jzs

from .test_paired import SLEEP


def test_jzs_on_students_sleep_data() -> None:
    """The R package BayesFactor prints 17.25888 for the paired test and 1.265925 for two samples (r = √2/2)."""
    assert jzs(*SLEEP).bf10 == pytest.approx(17.25888, rel=1e-5)
    assert jzs(*SLEEP, paired=False).bf10 == pytest.approx(1.265925, rel=1e-5)


def test_jzs_is_an_average_over_a_cauchy_prior() -> None:
    """By the other route: the noncentral t density averaged over effects, against the central one."""
    values = np.random.default_rng(0).normal(0.3, 1, 30)
    t = stats.ttest_1samp(values, 0).statistic

    def weighted(effect: float) -> float:
        return float(stats.nct.pdf(t, 29, effect * np.sqrt(30)) * stats.cauchy.pdf(effect, scale=0.5))

    area = integrate.quad(weighted, -3, 3, limit=200)[0]  # beyond, the density is nil
    assert jzs(values, scale=0.5).bf10 == pytest.approx(area / stats.t.pdf(t, 29), rel=1e-4)


def test_large_effects_and_large_samples() -> None:
    rng = np.random.default_rng(0)
    assert jzs(rng.normal(5, 1, 500)).bf10 > 1e100
    none = jzs(rng.normal(0, 1, 5000))
    assert none.bf10 < 0.1 and "for no effect" in str(none)


def test_the_coin_of_115_heads() -> None:
    """115 heads of 200: P(X | fair) = .005956, P(X | uniform) = 1 / 201."""
    found = binomial_bayes(115, 200)
    assert found.bf10 == pytest.approx(1 / 201 / stats.binom.pmf(115, 200, 0.5), rel=1e-10)
    informed = binomial_bayes(9, 10, share=0.4, prior=(2, 3)).bf10
    expected = special.beta(11, 4) / special.beta(2, 3) / (0.4**9 * 0.6)
    assert informed == pytest.approx(expected, rel=1e-10)


def test_what_is_undefined_is_refused() -> None:
    with pytest.raises(DataError, match="all alike"):
        jzs(np.ones(5))
    with pytest.raises(DataError, match="two examples"):
        jzs(np.ones(1))
    with pytest.raises(DataError, match="0 <= successes"):
        binomial_bayes(5, 4)
