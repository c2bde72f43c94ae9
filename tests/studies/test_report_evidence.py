"""For and against: what speaks which way follows from intervals, baselines and wordings, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from assay.core.result import INFLUENCES
from assay.stats import Estimate
from assay.stats.controls import Comparison
from assay.studies.conclusion import Judgement, NamedNumber, Number, read_conclusion
from assay.studies.pick import StepData
from assay.studies.quantity import Selector, Share, ShareOf
from assay.studies.report import read_contents
from assay.studies.report.against import Beside
from assay.studies.report.evidence import by_template, evidence
from assay.studies.report.limits import limits
from assay.studies.run import run_study

from .conftest import Lab


def number(value: float, low: float, high: float, *, n: int = 40) -> Number:
    return Number.of(Estimate(value, low, high, n, "BCa"))


def judgement(found: Number, *beside: Number, prediction: str = ">= 0.7") -> Judgement:
    return Judgement(
        id="large", statement="s", because="", quantity="q", prediction=prediction, refuted_if=None,
        smallest_effect=0.1, outcome="inconclusive", number=found, exploratory=False,
        baselines=tuple(NamedNumber(name=f"b{i}", number=each) for i, each in enumerate(beside)),
    )  # fmt: skip


@pytest.fixture
def weigh(lab: Lab, tmp_path: Path):  # type: ignore[no-untyped-def]
    run_study(lab.study, tmp_path, sources=lab.sources)
    contents = read_contents(tmp_path)

    def weighed(judged: Judgement) -> tuple[Sequence[str], Sequence[str]]:
        found = evidence(lab.study.hypotheses[0], judged, contents)
        return found.supporting, found.opposing

    return weighed


def test_an_interval_inside_the_prediction_speaks_for_and_says_how_near_the_limit_is(weigh) -> None:  # type: ignore[no-untyped-def]
    supporting, _ = weigh(judgement(number(0.8, 0.75, 0.85)))
    assert any("whole interval meets" in text and "0.050 from the limit" in text for text in supporting)


@pytest.mark.parametrize(
    ("found", "said"),
    [((0.5, 0.4, 0.6), "whole interval breaks"), ((0.72, 0.6, 0.8), "both sides"), ((0.65, 0.6, 0.8), "itself breaks")],
)
def test_any_other_interval_speaks_against(weigh, found: tuple[float, float, float], said: str) -> None:  # type: ignore[no-untyped-def]
    supporting, opposing = weigh(judgement(number(*found)))
    assert any(said in text for text in opposing)
    assert not any("interval" in text for text in supporting)


def test_baselines_speak_for_only_when_they_are_apart_and_miss_the_prediction(weigh) -> None:  # type: ignore[no-untyped-def]
    apart, overlapping, better = number(0.1, 0.0, 0.2), number(0.7, 0.6, 0.78), number(0.95, 0.9, 0.99)
    supporting, opposing = weigh(judgement(number(0.8, 0.75, 0.85), apart, overlapping, better))
    assert any("b0" in text and "0.55 apart" in text for text in supporting)
    assert any("b1" in text and "not told apart" in text for text in opposing)
    assert any("b2" in text and "meets the prediction too" in text for text in opposing)


def test_a_number_that_could_not_be_worked_out_is_no_support(weigh) -> None:  # type: ignore[no-untyped-def]
    missing = Number(value=None, low=None, high=None, n=0, method="BCa", level=0.95, text="nan")
    supporting, opposing = weigh(judgement(missing, number(0.1, 0.0, 0.2)))
    assert "could not be worked out" in " ".join(opposing)
    assert not any("b0" in text for text in supporting)


def test_one_count_is_not_called_an_interval(weigh) -> None:  # type: ignore[no-untyped-def]
    count, other = number(0.9, 0.9, 0.9, n=0), number(0.9, 0.9, 0.9, n=0)
    supporting, opposing = weigh(judgement(count, other, number(0.5, 0.5, 0.5, n=0)))
    assert any(text == "The number meets the prediction: 0.90." for text in supporting)
    assert any("b0” gives 0.90 (no interval): the two are not told apart" in text for text in opposing)
    assert any("b1” gives 0.50 (no interval)" in text and "the two are 0.40 apart" in text for text in supporting)
    about = [text for text in (*supporting, *opposing) if "“b" in text or "The number" in text]
    assert len(about) == 3 and not any("[" in text or "n = 0" in text for text in about)


def test_one_example_is_no_support(weigh) -> None:  # type: ignore[no-untyped-def]
    alone = number(0.9, float("-inf"), float("inf"), n=1)
    supporting, opposing = weigh(judgement(alone, number(0.1, 0.0, 0.2)))
    assert any("meets the prediction: 0.90, but it has no interval" in text for text in opposing)
    assert any("b0" in text and "not told apart" in text for text in opposing)
    assert not any("0.90" in text for text in supporting)


def rows(values: list[list[float]], template: list[str]) -> xr.Dataset:
    return xr.Dataset(
        {"kept": (("ranking", "example"), np.array(values)), "all": ("example", np.ones(4)), "none": ("example", np.zeros(4))},
        coords={"ranking": ["found", "rival"], "template": ("example", template)},
    )  # fmt: skip


def test_wordings_alone_are_worked_out_on_their_own_examples() -> None:
    step = StepData("kept", rows([[1.0, 1.0, 0.2, 0.4], [0.0] * 4], ["a", "a", "b", "b"]), "test")
    share = Share(
        share=ShareOf(
            of=Selector(step="kept", variable="kept", coords={"ranking": "found"}),
            zero=Selector(step="kept", variable="none"),
            one=Selector(step="kept", variable="all"),
        )
    )
    assert by_template(share, {"kept": step}) == pytest.approx({"a": 1.0, "b": 0.3})


def test_an_area_is_not_worked_out_as_a_mean_of_some_examples() -> None:
    """Its values are influences: those of one wording may have a mean above 1."""
    data = rows([[1.4, 1.4, 0.2, 0.4], [0.0] * 4], ["a", "a", "b", "b"])
    asked = Selector(step="kept", variable="kept", coords={"ranking": "found"})
    assert by_template(asked, {"kept": StepData("kept", data, "test")})["a"] > 1
    marked = data.assign_attrs({INFLUENCES: ["kept"]})
    assert by_template(asked, {"kept": StepData("kept", marked, "test")}) == {}


def test_controls_speak_only_of_the_number_that_they_are_about() -> None:
    one = Estimate(0.7, 0.6, 0.8, 20, "BCa")
    for quantity in ("effect", "size of effect, the largest of 3", "effect, scale 1"):
        of_result = Beside("steered", Comparison(quantity, one, ()))
        assert of_result.concerns(["text_kl", "effect"])
        assert not of_result.concerns(["text_kl", "effect_opposite"])
    assert Beside("heads", Comparison("size of logit diff, mean of the 5 largest of 9", one, ()), only=True).concerns(
        ["score"]
    )


def test_a_number_without_examples_has_no_wordings() -> None:
    data = rows([[1.0] * 4] * 2, ["a", "a", "b", "b"]).assign(fraction=((), 0.1))
    assert by_template(Selector(step="kept", variable="fraction"), {"kept": StepData("kept", data, "test")}) == {}


def test_limitations_of_the_conclusion_all_stay(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    said = [text for group in limits(read_contents(tmp_path)) for _, text in group.items]
    assert all(each.text in said for each in read_conclusion(tmp_path).limitations)
    assert any("asked too much" in text for text in said)
    assert any("rests on 20 examples" in text for text in said)


def test_a_baseline_that_comes_close_is_a_limitation(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    contents = read_contents(tmp_path)
    close = judgement(number(0.8, 0.7, 0.9), number(0.75, 0.6, 0.8), number(0.1, 0.0, 0.2))
    changed = contents.conclusion.model_copy(update={"judgements": (close,)})
    found = limits(type(contents)(**{**vars(contents), "conclusion": changed}))
    said = [text for group in found for _, text in group.items]
    assert any("“b0” came close" in text for text in said)
    assert not any("“b1” came close" in text for text in said)
