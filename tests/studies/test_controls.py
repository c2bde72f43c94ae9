"""Controls of a study's steps are made without being asked, within the time that the study allows, and are limitations."""

from __future__ import annotations

from pathlib import Path

from assay.core.caveats import caveats_in
from assay.stats.controls import Comparison
from assay.studies.run import run_study

from .conftest import Lab


def allowing(lab: Lab, times: float) -> Lab:
    analysis = lab.study.analysis.model_copy(update={"control_time": times})
    lab.study = lab.study.model_copy(update={"analysis": analysis})
    return lab


def test_a_step_that_a_hypothesis_reads_stands_beside_its_controls(lab: Lab, tmp_path: Path) -> None:
    run = run_study(lab.study, tmp_path, sources=lab.sources)
    found = Comparison.from_json(run.results["first"].controls)
    assert found.result.value > 1.5 and found["random"].standing == "ahead"  # 2 ± .1 against a mix of 2 and 0
    assert Comparison.from_json(run.folder.load("first").controls) == found
    assert {name for name, _ in found.skipped} == {"other_layer", "untrained"}  # one layer, and no model of assay
    said = [each.text for each in run.conclusion.limitations if each.source == "step first"]
    assert said == list(caveats_in(run.results["first"].facts)) == list(caveats_in(found.caveats()))


def test_a_method_runs_again_only_in_the_time_that_there_is(lab: Lab, tmp_path: Path) -> None:
    """`double` takes a ranking: its random control is another run of it."""
    run_study(allowing(lab, 0.0).study, tmp_path / "none", sources=lab.sources)
    assert lab.calls == ["measure", "double"]
    lab.calls.clear()
    run = run_study(allowing(lab, 4.0).study, tmp_path / "some", sources=lab.sources)
    assert lab.calls == ["measure", "double", "double"]
    assert "random" in [row.name for row in Comparison.from_json(run.results["second"].controls).rows]


def test_resumed_steps_keep_theirs(lab: Lab, tmp_path: Path) -> None:
    first = run_study(lab.study, tmp_path, sources=lab.sources).results["first"]
    again = run_study(lab.study, tmp_path, sources=lab.sources).results["first"]
    assert again.controls == first.controls


def test_steps_that_no_hypothesis_reads_have_none(lab: Lab, tmp_path: Path) -> None:
    lab.study = lab.study.model_copy(update={"hypotheses": lab.study.hypotheses[:1]})
    run = run_study(lab.study, tmp_path, sources=lab.sources)
    assert run.results["first"].controls and not run.results["second"].controls
