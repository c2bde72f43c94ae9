"""Paired tests against scipy, tables and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import mcnemar, paired_t, wilcoxon

SLEEP = (
    np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]),
    np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
)
"""Student's own data (1908): extra hours of sleep under two drugs."""


def test_t_on_students_data() -> None:
    found = paired_t(*SLEEP)
    assert found.statistic == pytest.approx(-4.0621, abs=5e-5)  # as printed by R's t.test
    assert found.p == pytest.approx(0.002833, abs=5e-7)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_t_against_scipy(alternative: str) -> None:
    found = paired_t(*SLEEP, alternative=alternative)  # type: ignore[arg-type]
    expected = stats.ttest_rel(*SLEEP, alternative=alternative)
    assert (found.statistic, found.p) == (
        pytest.approx(expected.statistic, abs=1e-12),
        pytest.approx(expected.pvalue, abs=1e-12),
    )


@pytest.mark.parametrize(("shift", "p"), [(0.0, 1.0), (2.0, 0.0)])
def test_t_of_equal_differences(shift: float, p: float) -> None:
    assert paired_t(np.full(4, shift), np.zeros(4)).p == p
    with pytest.raises(DataError, match="two examples"):
        paired_t(np.ones(1), np.zeros(1))


def test_wilcoxon_is_exact_without_ties_and_says_so() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.6, 1, 12), rng.normal(size=12)
    found = wilcoxon(a, b)
    assert found.p == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue, abs=1e-12)
    assert found.method.endswith("exact")


def test_wilcoxon_leaves_out_what_does_not_differ() -> None:
    """R's wilcox.test on the sleep data: p = 0.009091, one zero difference, normal approximation with correction."""
    found = wilcoxon(*SLEEP)
    assert found.p == pytest.approx(0.009091, abs=5e-7)
    assert "1 without a difference left out" in found.method and found.method.endswith("asymptotic")
    assert wilcoxon(np.ones(5), np.ones(5)).p == 1


def test_mcnemar_asks_only_where_they_differ() -> None:
    """12 against 3: the binomial tail 2 · P(X ≤ 3 | 15) = 1152 / 32768."""
    first = np.array([True] * 12 + [False] * 3 + [True] * 50 + [False] * 35)
    second = np.array([False] * 12 + [True] * 3 + [True] * 50 + [False] * 35)
    found = mcnemar(first, second)
    assert found.p == pytest.approx(1152 / 32768, abs=1e-12)
    assert found.statistic == pytest.approx(0.09)
    assert mcnemar(first, second, alternative="greater").p == pytest.approx(576 / 32768, abs=1e-12)
    assert mcnemar(first, first).p == 1


def test_what_is_paired_has_one_length() -> None:
    for test in (paired_t, wilcoxon, mcnemar):
        with pytest.raises(DataError, match="3 values against 2"):
            test(np.ones(3), np.ones(2))
