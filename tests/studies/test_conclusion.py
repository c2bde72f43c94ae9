"""What a run concludes: everything that weakens it is said, once, by whom, and survives the disk."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from assay.core.caveats import caveat
from assay.core.errors import StudyError
from assay.stats import Estimate
from assay.studies.conclusion import FILE, Number, concluded, read_conclusion
from assay.studies.read import parse_study
from assay.studies.run import Run, run_study

from .conftest import TEXT, Lab


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Run:
    return run_study(lab.study, tmp_path, sources=lab.sources)


def texts(run: Run, source: str) -> list[str]:
    return [each.text for each in run.conclusion.limitations if each.source == source]


def test_it_is_what_the_verdicts_say(run: Run, tmp_path: Path) -> None:
    assert [(each.id, each.outcome) for each in run.conclusion.judgements] == [
        ("large", "supported"),
        ("small", "refuted"),
    ]
    first = run.conclusion.judgements[0]
    assert first.number.value == run.verdicts[0].estimate.value
    assert first.baselines[0].name == "the other part"
    assert run.conclusion.plan == run.plan.hash
    assert read_conclusion(tmp_path) == run.conclusion


def test_caveats_of_steps_are_limitations_of_the_first_step_that_has_them(run: Run) -> None:
    results = {
        "first": replace(run.results["first"], facts=(caveat("seen twice"), "plain")),
        "second": replace(run.results["second"], facts=(caveat("seen twice"), caveat("seen here"))),
    }
    made = concluded(run.study, run.plan, results=results, verdicts=run.verdicts, about={"model": {"facts": ["cast"]}})
    found = [(each.source, each.text) for each in made.limitations]
    assert found == [("model", "cast"), ("step first", "seen twice"), ("step second", "seen here")]


def test_wide_intervals_and_maxima_are_limitations(lab: Lab, tmp_path: Path) -> None:
    wide = TEXT.replace("smallest_effect: 0.5", "smallest_effect: 0.001", 1)
    largest = wide.replace("{step: second, coords: {component: L0.H0}}", "{step: second, over: max}")
    made = run_study(parse_study(largest), tmp_path / "wide", sources=lab.sources)
    assert "too few examples" in texts(made, "hypothesis large")[0]
    assert "chosen on the same examples" in texts(made, "hypothesis small")[0]


def test_what_the_authors_say_comes_first(lab: Lab, tmp_path: Path) -> None:
    made = run_study(parse_study(TEXT + "limitations: [It is pretended.]\n"), tmp_path / "own", sources=lab.sources)
    assert (made.conclusion.limitations[0].source, made.conclusion.limitations[0].text) == (
        "authors",
        "It is pretended.",
    )


def test_a_change_of_plan_is_a_limitation_and_marks_the_hypothesis(run: Run, lab: Lab, tmp_path: Path) -> None:
    changed = parse_study(TEXT.replace('prediction: "< 1"', 'prediction: "< 5"'))
    made = run_study(changed, tmp_path, sources=lab.sources, amend=True)
    assert [each.exploratory for each in made.conclusion.judgements] == [False, True]
    assert "hypotheses.1.prediction" in texts(made, "plan")[0]
    assert "exploratory" in texts(made, "hypothesis small")[0]


def test_numbers_that_are_none_are_null() -> None:
    found = Number.of(Estimate(math.nan, -math.inf, 1.0, 3, "m"))
    assert (found.value, found.low, found.high) == (None, None, 1.0)
    assert json.loads(found.model_dump_json())["value"] is None


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "did not come to its end"), ('{"format": 99}', "upgrade"), ('{"format": 1}', "damaged")],
)
def test_what_can_not_be_read_is_told(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(StudyError, match=says):
        read_conclusion(tmp_path)
