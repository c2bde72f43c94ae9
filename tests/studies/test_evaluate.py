"""Quantities and verdicts on planted numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter

from assay.core.errors import StudyError
from assay.studies.evaluate import estimate, judge
from assay.studies.pick import StepData
from assay.studies.quantity import Quantity, Selector
from assay.studies.schema import Analysis, Hypothesis

ANALYSIS = Analysis(resamples=400)


def quantity(**content: Any) -> Any:
    return TypeAdapter(Quantity).validate_python(content)


def results() -> dict[str, StepData]:
    rng = np.random.default_rng(0)
    truth = np.array([[0.0, 1.0], [0.2, 3.0], [0.1, 2.0], [0.0, 0.5]])  # layer × pos
    noisy = truth[..., None] + rng.normal(0, 0.1, size=(4, 2, 50))
    data = xr.Dataset(
        {
            "effect": (("layer", "pos", "example"), noisy),
            "clean": (("example",), 4 + rng.normal(0, 0.1, 50)),
            "corrupt": (("example",), rng.normal(0, 0.1, 50)),
            "correct": (("example",), np.arange(50) > 0),
            "norm": (("layer",), np.arange(4.0)),
        },
        coords={
            "layer": [0, 1, 2, 3],
            "pos": ["subject", "end"],
            "example": range(50),
            "template": ("example", [f"t{i % 5}" for i in range(50)]),
        },
    )
    return {"patch": StepData("patch", data, "test")}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"step": "patch", "variable": "effect", "coords": {"layer": 1, "pos": "end"}}, 3.0),
        ({"step": "patch", "variable": "effect", "coords": {"pos": "end"}, "over": "max"}, 3.0),
        ({"step": "patch", "variable": "effect", "coords": {"pos": "end", "layer": {"from": 2, "to": 3}}}, 1.25),
        ({"step": "patch", "variable": "effect", "coords": {"pos": "end", "layer": {"depth": [0.6, 1]}}}, 1.25),
        ({"step": "patch", "variable": "effect", "coords": {"pos": "end", "layer": {"depth": [0.3, 0.31]}}}, 3.0),
        ({"step": "patch", "variable": "effect", "coords": {"pos": {"matches": "e.*"}}, "over": "sum"}, 6.5),
        ({"step": "patch", "variable": "effect", "coords": {"layer": [0, 3], "pos": "end"}, "over": "min"}, 0.5),
        ({"step": "patch", "variable": "effect", "coords": {"layer": 1, "pos": "end"}, "counts": "> 1"}, 1.0),
        ({"step": "patch", "variable": "norm", "over": "max"}, 3.0),
    ],
)
def test_selection_and_aggregation(content: dict[str, Any], expected: float) -> None:
    found = estimate(quantity(**content), results(), ANALYSIS)
    assert found.value == pytest.approx(expected, abs=0.05)  # mean of 50 at σ = 0.1: standard error 0.014
    assert found.low <= found.value <= found.high


def test_share_is_a_ratio_of_means_with_a_paired_interval() -> None:
    at = {"step": "patch", "variable": "effect", "coords": {"layer": 1, "pos": "end"}}
    parts = {"of": at, "zero": {"step": "patch", "variable": "corrupt"}, "one": {"step": "patch", "variable": "clean"}}
    found = estimate(quantity(share=parts), results(), ANALYSIS)
    data = results()["patch"].data
    zero, one = float(data["corrupt"].mean()), float(data["clean"].mean())
    of = float(data["effect"].sel(layer=1, pos="end").mean())
    assert found.value == pytest.approx((of - zero) / (one - zero), rel=1e-12)
    assert 0.7 < found.low < found.high < 0.8


def test_the_difference_of_a_quantity_with_itself_is_zero() -> None:
    """Unpaired resampling, a plausible mistake, would give it a wide interval."""
    at = {"step": "patch", "variable": "clean"}
    found = estimate(quantity(difference=[at, at]), results(), ANALYSIS)
    assert (found.low, found.value, found.high) == (0, 0, 0)
    assert estimate(quantity(ratio=[at, at]), results(), ANALYSIS).value == 1


def test_proportions_get_wilson_intervals() -> None:
    found = estimate(Selector(step="patch", variable="correct"), results(), ANALYSIS)
    assert found.method == "Wilson"
    assert found.value == 0.98
    always = Selector(step="patch", variable="clean", counts=">= 0")  # type: ignore[arg-type]
    assert estimate(always, results(), ANALYSIS).low < 0.95


def test_clusters_are_whole_templates() -> None:
    found = estimate(quantity(step="patch", variable="clean"), results(), Analysis(resamples=400, cluster="template"))
    assert found.clusters == 5


def test_what_involves_no_examples_is_exact() -> None:
    found = estimate(quantity(step="patch", variable="norm"), results(), ANALYSIS)
    assert (found.low, found.high) == (1.5, 1.5)
    assert found.method.startswith("exact")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"step": "patch", "variable": "efect"}, "gives no 'efect'; it gives effect, clean, corrupt, correct, norm."),
        ({"step": "patch", "variable": "effect", "coords": {"head": 1}}, "has no dimension 'head'; it has layer, pos"),
        ({"step": "patch", "variable": "effect", "coords": {"pos": "start"}}, "has no pos start; it has subject, end"),
        ({"step": "patch", "variable": "effect", "coords": {"layer": [1, 9]}}, r"no layer \[1, 9\]; it has 0, 1, 2, 3"),
        ({"step": "patch", "variable": "effect", "coords": {"layer": {"from": 7, "to": 9}}}, "has no layer"),
    ],
)  # fmt: skip
def test_selectors_that_find_nothing_say_what_there_is(content: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        estimate(quantity(**content), results(), ANALYSIS)


def test_results_that_lost_examples_are_not_paired() -> None:
    whole = results()["patch"]
    fewer = StepData("fewer", whole.data.isel(example=slice(10)), "test")
    pair = quantity(difference=[{"step": "patch", "variable": "clean"}, {"step": "fewer", "variable": "clean"}])
    with pytest.raises(StudyError, match="have 50 and 10 examples"):
        estimate(pair, {"patch": whole, "fewer": fewer}, ANALYSIS)


def hypothesis(prediction: str, refuted_if: str | None = None) -> Hypothesis:
    content = {
        "id": "h",
        "statement": "S",
        "quantity": {"step": "patch", "variable": "clean"},
        "prediction": prediction,
        "refuted_if": refuted_if,
        "smallest_effect": 0.001,
        "baselines": [{"name": "b", "quantity": {"step": "patch", "variable": "corrupt"}}],
    }
    return Hypothesis.model_validate(content)


@pytest.mark.parametrize(
    ("prediction", "refuted_if", "outcome"),
    [
        (">= 3.9", None, "supported"),
        ("< 3.9", None, "refuted"),
        (">= 4.0", None, "inconclusive"),
        (">= 5", "< 3", "inconclusive"),
        (">= 5", "< 4.5", "refuted"),
        ("in [3.9, 4.1]", None, "supported"),
    ],
)
def test_verdicts(prediction: str, refuted_if: str | None, outcome: str) -> None:
    verdict = judge(hypothesis(prediction, refuted_if), results(), ANALYSIS)
    assert verdict.outcome == outcome
    assert verdict.baselines[0][1].value == pytest.approx(0, abs=0.05)
    assert verdict.too_wide
    assert not verdict.chosen_on_same_examples


def test_more_questions_make_wider_intervals() -> None:
    alone = judge(hypothesis(">= 3"), results(), ANALYSIS).estimate
    among = judge(hypothesis(">= 3"), results(), ANALYSIS, level=0.995).estimate
    assert among.level == pytest.approx(0.995)
    assert among.half_width > alone.half_width


def test_a_maximum_is_marked_as_chosen_on_the_same_examples() -> None:
    content = hypothesis(">= 0").model_dump(by_alias=True)
    content["quantity"] = {"step": "patch", "variable": "effect", "over": "max"}
    assert judge(Hypothesis.model_validate(content), results(), ANALYSIS).chosen_on_same_examples


def test_a_number_that_is_not_one_decides_nothing() -> None:
    nothing = {"difference": [{"step": "patch", "variable": "clean"}] * 2}
    content = hypothesis(">= 1").model_dump(by_alias=True)
    content["quantity"] = {"ratio": [nothing, nothing]}
    assert judge(Hypothesis.model_validate(content), results(), ANALYSIS).outcome == "inconclusive"


def test_rates_on_planted_truths() -> None:
    """True, false and undecidable statements over 60 data sets: errors stay rare, and power is there."""
    rng = np.random.default_rng(5)
    counts = {"true": 0, "false": 0, "edge": 0}
    for trial in range(60):
        for name, mean in (("true", 1.0), ("false", 0.0), ("edge", 0.5)):
            values = rng.normal(mean, 1, size=60)
            step = StepData("patch", xr.Dataset({"clean": (("example",), values)}), "test")
            step.data["corrupt"] = step.data["clean"]
            analysis = Analysis(resamples=200, seed=trial)
            found = judge(hypothesis(">= 0.5"), {"patch": step}, analysis).outcome
            wanted = {"true": "supported", "false": "refuted", "edge": "inconclusive"}[name]
            counts[name] += found == wanted
    assert counts["true"] >= 50 and counts["false"] >= 50  # power 0.97 at 3.9 standard errors
    assert counts["edge"] >= 52  # nominal 57 of 60
