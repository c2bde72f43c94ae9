"""The p of a verdict: never against the verdict, right where theory says what it is, corrected as intervals are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.studies.chance import Chance, chance, corrected
from assay.studies.corrected import judge_all
from assay.studies.pick import StepData
from assay.studies.schema import Analysis, Hypothesis

CORRECTIONS: Any = ("none", "bonferroni", "holm", "benjamini-hochberg")


def asked(name: str, prediction: str = "> 0", variable: str = "x") -> Hypothesis:
    return Hypothesis.model_validate(
        {"id": name, "statement": "s", "quantity": {"step": "s", "variable": variable}, "prediction": prediction,
         "smallest_effect": 1}
    )  # fmt: skip


def results(**columns: np.ndarray) -> dict[str, StepData]:
    return {"s": StepData("s", xr.Dataset({name: ("example", each) for name, each in columns.items()}), "test")}


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_smallest_error_that_decides_is_found(true: float, known: float) -> None:
    found = chance(lambda a: a >= true, known=known, finest=0.0005)
    assert true <= found.p <= true * 1.002 and not found.at_most
    assert (found.p <= known) == (true <= known), "on the side of the level that was used"


def test_what_is_never_and_always_decided() -> None:
    assert chance(lambda a: False, known=0.05, finest=0.0005) == Chance(1.0)
    assert chance(lambda a: True, known=0.05, finest=0.0005) == Chance(0.0005, at_most=True)
    assert str(Chance(0.0005, at_most=True)) == "p ≤ 0.0005" and str(Chance(0.0312)) == "p = 0.031"
    assert str(Chance(1.0, at_most=True)) == "p = 1"


@pytest.mark.parametrize("shift", [0.12, 0.2, 0.3])
def test_of_a_mean_it_is_that_of_the_t_test(shift: float) -> None:
    values = np.random.default_rng(5).normal(0, 1, 80)
    values = (values - values.mean()) / values.std(ddof=1) + shift
    (verdict,) = judge_all([asked("a")], results(x=values), Analysis(resamples=4000))
    theory = stats.ttest_1samp(values, 0).pvalue
    assert verdict.chance is not None
    assert verdict.chance.p == pytest.approx(theory, rel=0.25, abs=0.002)  # 4000 resamples; BCa is not quite t


def test_of_a_share_it_is_wilsons() -> None:
    right = np.arange(40) < 28
    (verdict,) = judge_all([asked("a", "> 0.5")], results(x=right), Analysis())
    z = (0.7 - 0.5) / np.sqrt(0.25 / 40)
    assert verdict.chance is not None
    assert verdict.chance.p == pytest.approx(
        2 * stats.norm.sf(z), rel=0.01
    )  # the score test, which Wilson's interval inverts


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_it_never_contradicts_the_verdict(correction: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": rng.normal(mean, 1, 40) for i, mean in enumerate((0.05, 0.3, 0.4, -0.4, 0.9))}
    analysis = Analysis(correction=correction, resamples=400)
    verdicts = judge_all([asked(name, variable=name) for name in columns], results(**columns), analysis)
    for each in verdicts:
        assert each.chance is not None
        assert (each.chance.p <= 0.05 + 1e-9) == (each.outcome != "inconclusive"), (each.chance, each.estimate)


def test_a_refuted_prediction_has_a_small_p_too() -> None:
    values = np.random.default_rng(0).normal(-2, 1, 40)
    (verdict,) = judge_all([asked("a")], results(x=values), Analysis())
    assert verdict.outcome == "refuted" and str(verdict.chance) == "p ≤ 0.0005"


def test_each_correction() -> None:
    found = [Chance(0.01), Chance(0.04), Chance(0.03), None]
    expected = {
        "none": [0.01, 0.04, 0.03],
        "bonferroni": [0.04, 0.16, 0.12],
        "holm": [0.04, 0.09, 0.09],
        "benjamini-hochberg": [0.04, 0.04 * 4 / 3, 0.04 * 4 / 3],
    }
    for name, numbers in expected.items():
        analysis = Analysis.model_validate({"correction": name})
        *some, last = corrected(found, analysis)
        assert last is None
        assert [each.p for each in some if each] == pytest.approx(numbers)


def test_a_count_has_none() -> None:
    data = {"s": StepData("s", xr.Dataset({"x": ((), 3.0)}), "test")}
    (verdict,) = judge_all([asked("a")], data, Analysis())
    assert verdict.outcome == "supported" and verdict.chance is None
