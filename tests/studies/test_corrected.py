"""Corrections: the same decisions as the p-value procedures, and never a verdict that its own interval contradicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from assay.stats import benjamini_hochberg, holm
from assay.studies.corrected import error_of, judge_all, what_holds
from assay.studies.evaluate import outcome
from assay.studies.pick import StepData
from assay.studies.schema import Analysis, Hypothesis

P = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12)


def decisions(p: list[float], correction: Any) -> list[bool]:
    """What is decided when a hypothesis is decided at every error ≥ its p."""
    error = error_of(Analysis(correction=correction), len(p), lambda a: sum(each <= a for each in p))
    return [each <= error for each in p]


@given(P)
def test_holm_on_intervals_is_holm_on_p_values(p: list[float]) -> None:
    assert decisions(p, "holm") == [each <= 1 - 0.95 for each in holm(p)]


@given(P)
def test_benjamini_hochberg_on_intervals_is_that_on_p_values(p: list[float]) -> None:
    ours, theirs = decisions(p, "benjamini-hochberg"), [each <= 1 - 0.95 for each in benjamini_hochberg(p)]
    for mine, other, each in zip(ours, theirs, benjamini_hochberg(p), strict=True):
        assert mine == other or abs(each - 0.05) < 1e-9  # on the edge, rounding decides


def test_each_correction_gives_its_level() -> None:
    p = [0.004, 0.012, 0.02, 0.9]
    errors = {
        name: error_of(Analysis(correction=name), 4, lambda a: sum(each <= a for each in p))  # type: ignore[arg-type]
        for name in ("none", "bonferroni", "holm", "benjamini-hochberg")
    }
    assert errors["none"] == pytest.approx(0.05)
    assert errors["bonferroni"] == pytest.approx(0.0125)
    assert errors["holm"] == pytest.approx(0.05)  # .004 and .012 ≤ .0125; .02 ≤ .025; .9 > .05
    assert errors["benjamini-hochberg"] == pytest.approx(0.0375)  # three at 3 · .05 / 4


def hypothesis(name: str, prediction: str) -> Hypothesis:
    content = {
        "id": name, "statement": "s", "quantity": {"step": "s", "variable": name}, "prediction": prediction,
        "smallest_effect": 1,
    }  # fmt: skip
    return Hypothesis.model_validate(content)


@pytest.fixture
def planted() -> tuple[list[Hypothesis], dict[str, StepData]]:
    """Five clear effects, one of 2.3 standard errors, one that is nothing."""
    rng, n = np.random.default_rng(0), 60
    noise = rng.normal(size=(7, n))
    noise = (noise - noise.mean(1, keepdims=True)) / noise.std(1, ddof=1, keepdims=True)
    means = [1.0, 1.0, 1.0, 1.0, 1.0, 2.3 / n**0.5, 0.0]
    data = xr.Dataset({f"h{i}": (("example",), noise[i] + mean) for i, mean in enumerate(means)})
    return [hypothesis(f"h{i}", "> 0") for i in range(7)], {"s": StepData("s", data, "test")}


@pytest.mark.parametrize(
    ("correction", "supported"), [("bonferroni", 5), ("holm", 5), ("benjamini-hochberg", 6), ("none", 6)]
)
def test_what_is_supported(planted: Any, correction: Any, supported: int) -> None:
    hypotheses, results = planted
    analysis = Analysis(correction=correction, resamples=2000)
    verdicts = judge_all(hypotheses, results, analysis)
    assert sum(each.outcome == "supported" for each in verdicts) == supported
    assert len({each.estimate.level for each in verdicts}) == 1
    for each in verdicts:
        assert each.outcome == outcome(each.hypothesis, each.estimate), "a verdict never contradicts its interval"


def test_what_holds_is_said_for_each() -> None:
    said = {
        name: what_holds(Analysis(correction=name), 4) for name in ("none", "bonferroni", "holm", "benjamini-hochberg")
    }  # type: ignore[arg-type]
    assert "holds alone" in said["none"] and "Intervals hold together at 95 %" in said["bonferroni"]
    assert (
        "verdicts hold together" in said["holm"]
        and "at most 5 % are expected to be wrong" in said["benjamini-hochberg"]
    )
