"""Power by simulation against the noncentral t distribution, and the usual table of sample sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import needed_n, normal_differences, power, t_decision, wilson


def exact(dz: float, n: int) -> float:
    return float(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, dz * np.sqrt(n)))


def test_power_is_what_theory_says() -> None:
    found = power(normal_differences(0.5), t_decision(), n=30, simulations=2000)
    assert found.value == pytest.approx(exact(0.5, 30), abs=0.03)  # 3 standard errors of .0097
    assert found.low < exact(0.5, 30) < found.high + 0.01


def test_no_effect_is_found_in_one_tail() -> None:
    assert power(normal_differences(0.0), t_decision(), n=20, simulations=1000).value == pytest.approx(0.025, abs=0.017)


def test_needed_n_is_the_tables() -> None:
    """dz = .5, two-sided 5 %, power .8: 34 pairs in every table (exactly .808 there, .798 with 33)."""
    found = needed_n(normal_differences(0.5), t_decision(), start=30, simulations=800)
    assert 30 <= found.n <= 39  # ± 3 standard errors of the simulated power, .011 for each pair more
    assert found.power.value >= 0.8
    assert str(found).startswith(f"n = {found.n} for a power of 0.8")


def test_any_analysis_can_be_simulated() -> None:
    """A share of .7 tested by whether Wilson's interval lies above one half."""
    found = needed_n(
        lambda rng, n: (rng.binomial(n, 0.7), n), lambda data: wilson(*data).low > 0.5, start=40, simulations=200
    )
    assert 41 <= found.n <= 62  # 47 to 51 by binomial tails, which go in steps
    assert dict(found.tried)[found.n] >= 0.8


def test_the_smallest_size_may_be_below_the_start() -> None:
    assert needed_n(normal_differences(5.0), t_decision(), start=64, simulations=100).n <= 6


def test_too_small_an_effect_is_told() -> None:
    with pytest.raises(DataError, match="100 examples give a power of"):
        needed_n(normal_differences(0.01), t_decision(), most=100, simulations=50)
