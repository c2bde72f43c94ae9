"""Verdicts under other choices: only what differs is done again, and a verdict that turns is a limitation."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.errors import SettingsError, StudyError
from assay.studies.conclusion import read_conclusion
from assay.studies.read import parse_study, read_study
from assay.studies.run import run_study

from .conftest import TEXT, Lab

OTHER = """
sensitivity:
  - name: smaller
    settings: {first: {mean: 0.2}}
  - name: the_same
    settings: {first: {mean: 2.0}}
"""


def test_verdicts_are_shown_under_each_choice(lab: Lab, tmp_path: Path) -> None:
    study = parse_study(TEXT + OTHER)
    run = run_study(study, tmp_path, sources=lab.sources)
    assert lab.calls == ["measure", "double"] * 2  # what is the same under `the_same` is not done again
    large, small = read_conclusion(tmp_path).judgements
    assert [(each.name, each.outcome) for each in large.otherwise] == [("smaller", "refuted")]
    assert large.otherwise[0].number.value == pytest.approx(0.2, abs=0.4)  # σ/√n = 0.11
    assert [(each.name, each.outcome) for each in small.otherwise] == [("smaller", "supported")]
    turned = [each.text for each in run.conclusion.limitations if each.source == "hypothesis large"]
    assert any("supported here, but refuted under the choices smaller" in text for text in turned)
    assert read_study(tmp_path / "study.yaml") == study


def test_a_second_run_does_no_alternative_again(lab: Lab, tmp_path: Path) -> None:
    study = parse_study(TEXT + OTHER)
    first = run_study(study, tmp_path, sources=lab.sources)
    lab.calls.clear()
    assert run_study(study, tmp_path, sources=lab.sources).conclusion.judgements == first.conclusion.judgements
    assert lab.calls == []


def test_stopped_within_an_alternative_it_goes_on_there(lab: Lab, tmp_path: Path) -> None:
    study = parse_study(TEXT + OTHER)

    def stop(name: str) -> None:
        if lab.calls == ["measure", "double"] * 2:
            raise KeyboardInterrupt

    lab.before = stop
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "stopped", sources=lab.sources)
    lab.before, lab.calls = lambda name: None, []
    gone_on = run_study(study, tmp_path / "stopped", sources=lab.sources)
    assert lab.calls == ["double"]
    whole = run_study(study, tmp_path / "whole", sources=lab.sources)
    assert gone_on.conclusion.judgements == whole.conclusion.judgements


def test_what_is_shared_is_paid_once(lab: Lab, tmp_path: Path) -> None:
    """The budget holds for the study and its alternatives together; steps that they share count once."""
    study = parse_study(TEXT + OTHER + "budget: {seconds: 1000}\n")
    run = run_study(study, tmp_path, sources=lab.sources)
    assert len(run.conclusion.judgements[0].otherwise) == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("sensitivity: [{name: a, settings: {third: {mean: 1.0}}}]", StudyError, "'third' is not a step"),
        ("sensitivity: [{name: a, settings: {first: {man: 1.0}}}]", SettingsError, "'man' is not a setting"),
        ("sensitivity: [{name: a, settings: {first: {}}}, {name: a, settings: {first: {}}}]", StudyError, "two alternatives"),
    ],
)  # fmt: skip
def test_a_choice_that_is_none_is_refused_before_anything_runs(
    lab: Lab, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_study(parse_study(f"{TEXT}\n{text}\n"), tmp_path, sources=lab.sources)
    assert lab.calls == []
