"""Running: verdicts come out, nothing is done twice, and an interruption loses only the step that it hit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.core.errors import StudyError
from assay.studies.read import parse_study, read_study
from assay.studies.run import Silent, run_study

from .conftest import TEXT, Lab


def test_a_run_ends_with_verdicts_and_a_whole_folder(lab: Lab, tmp_path: Path) -> None:
    run = run_study(lab.study, tmp_path, sources=lab.sources)
    assert [each.outcome for each in run.verdicts] == ["supported", "refuted"]
    assert run.verdicts[0].baselines[0][1].value == pytest.approx(0, abs=0.4)  # σ/√n = 0.11
    assert read_study(tmp_path / "study.yaml") == lab.study
    for name in ("plan.json", "environment.json", "log.jsonl", "results/first.parquet", "prompts/test.jsonl"):
        assert (tmp_path / name).exists()
    assert run.results["first"].data["template"].values.tolist()[:2] == ["t0", "t1"]


def test_a_second_run_computes_nothing(lab: Lab, tmp_path: Path) -> None:
    first = run_study(lab.study, tmp_path, sources=lab.sources)
    lab.calls.clear()
    second = run_study(lab.study, tmp_path, sources=lab.sources)
    assert lab.calls == []
    assert second.verdicts == first.verdicts


@pytest.mark.parametrize("stop", ["measure", "double"])
def test_an_interrupted_run_goes_on_where_it_stopped(lab: Lab, tmp_path: Path, stop: str) -> None:
    def interrupt(name: str) -> None:
        if name == stop:
            raise KeyboardInterrupt

    lab.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_study(lab.study, tmp_path, sources=lab.sources)
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["event"] == "interrupted"
    lab.before = lambda name: None
    lab.calls.clear()
    run_study(lab.study, tmp_path, sources=lab.sources)
    assert lab.calls == (["measure", "double"] if stop == "measure" else ["double"])


def test_other_weights_or_prompts_redo_everything(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    lab.calls.clear()
    lab.fingerprint = "sha256:other"
    run_study(lab.study, tmp_path, sources=lab.sources)
    assert lab.calls == ["measure", "double"]


def test_a_changed_setting_redoes_the_step_and_what_hangs_on_it(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    lab.calls.clear()
    changed = parse_study(TEXT.replace("mean: 2.0", "mean: 0.1"))
    with pytest.raises(StudyError, match=r"steps\.first\.settings\.mean"):
        run_study(changed, tmp_path, sources=lab.sources)
    run = run_study(changed, tmp_path, sources=lab.sources, amend=True)
    assert lab.calls == ["measure", "double"]
    assert [each.outcome for each in run.verdicts] == ["refuted", "supported"]


def test_the_plan_is_on_disk_before_the_first_step(lab: Lab, tmp_path: Path) -> None:
    seen: list[bool] = []
    lab.before = lambda name: seen.append((tmp_path / "plan.json").exists())
    run_study(lab.study, tmp_path, sources=lab.sources)
    assert seen == [True, True]


def test_a_watcher_hears_everything(lab: Lab, tmp_path: Path) -> None:
    class Ear(Silent):
        heard: list[str] = []

        def started(self, step: str) -> None:
            self.heard.append(f"> {step}")

        def finished(self, step: str, seconds: float, *, reused: bool) -> None:
            self.heard.append(f"< {step}{' again' if reused else ''}")

    run_study(lab.study, tmp_path, sources=lab.sources, watcher=Ear())
    run_study(lab.study, tmp_path, sources=lab.sources, watcher=Ear())
    assert Ear.heard[:4] == ["> first", "< first", "> second", "< second"]
    assert Ear.heard[4:] == ["> first", "< first again", "> second", "< second again"]
