"""Several models, revisions and seeds: each in its own folder, gone on with, and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.studies.conftest import TEXT as SLOW
from tests.studies.conftest import Lab
from tests.studies.replicas import SHORT, Place

from assay.app.cli import run as command
from assay.core.errors import LoadError, StudyError
from assay.studies import steps
from assay.studies.matrix import combinations, run_matrix
from assay.studies.plan import read_plan
from assay.studies.read import parse_study, study_yaml
from assay.studies.run import Sources
from assay.studies.schema import ModelSpec

TEXT = SLOW.replace("control_time: 0", "control_time: 0, resamples: 200")


@pytest.fixture(autouse=True)
def _without_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "controlled", lambda *arguments, **named: None)


def test_every_combination(lab: Lab) -> None:
    study = parse_study(
        TEXT + "matrix: {models: [a/gpt2, {name: b, dtype: float32}], revisions: [main, v2], seeds: [0, 5]}\n"
    )
    found = combinations(study)
    assert [each.name for each in found] == [
        "gpt2-main-seed0", "gpt2-main-seed5", "gpt2-v2-seed0", "gpt2-v2-seed5",
        "b-main-seed0", "b-main-seed5", "b-v2-seed0", "b-v2-seed5",
    ]  # fmt: skip
    last = found[-1].study
    assert last.model == ModelSpec(name="b", revision="v2", dtype="float32")
    assert last.data["test"].seed == 5 and last.analysis.seed == 0 and last.matrix is None
    assert found[0].study.data == study.data
    assert parse_study(study_yaml(study)) == study


def test_seeds_of_methods_move_too(replica: Place) -> None:
    step = "  luck: {method: random_scores, data: test, settings: {granularity: head, seed: 3}}\n"
    study = parse_study(SHORT.replace("hypotheses:", f"{step}hypotheses:") + "matrix: {seeds: [0, 2]}\n")
    seeds = [each.study.steps["luck"].settings["seed"] for each in combinations(study)]
    assert seeds == [3, 5]
    assert [each.study.steps["heads"].settings for each in combinations(study)] == [{"direction": "denoise"}] * 2


@pytest.mark.parametrize(("matrix", "says"), [
    ("{seeds: [0, 0]}", "seeds holds 0 twice"),
    ("{seeds: [-1]}", "greater than or equal to 0"),
    ("{models: [a/x, b/x]}", "would be in the folder 'x'"),
])  # fmt: skip
def test_what_is_not_a_matrix(lab: Lab, matrix: str, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        combinations(parse_study(f"{TEXT}matrix: {matrix}\n"))


def test_it_goes_on_and_compares(lab: Lab, tmp_path: Path) -> None:
    study = parse_study(TEXT + "matrix: {seeds: [0, 1, 2]}\n")

    def stop(name: str) -> None:
        if lab.calls.count("measure") == 2:
            raise KeyboardInterrupt

    lab.before = stop
    with pytest.raises(KeyboardInterrupt):
        run_matrix(study, tmp_path, sources=lab.sources)
    lab.before = lambda name: None
    lab.calls.clear()
    done = run_matrix(study, tmp_path, sources=lab.sources)
    assert lab.calls == ["measure", "double"] * 2, "the first seed was done"
    assert [each.name for each in done.done] == ["embedded-seed0", "embedded-seed1", "embedded-seed2"]
    assert done.comparison is not None and len(done.comparison.over_seeds("large")) == 1
    page = (tmp_path / "comparison.html").read_text()
    assert "Over 3 seeds" in page and "embedded-seed2" in page
    assert json.loads((tmp_path / "comparison.json").read_text())["seeds"][0]["hypothesis"] == "large"
    hashes = {read_plan(tmp_path / each.name).hash for each in done.done}
    assert len(hashes) == 3, "each has a plan of its own"
    stated = {each["plan"] for each in json.loads((tmp_path / "matrix.json").read_text())["combinations"]}
    assert stated == hashes
    assert (tmp_path / "embedded-seed1" / "report.html").exists()


def test_one_model_that_fails_does_not_stop_the_others(lab: Lab, tmp_path: Path) -> None:
    loaded: list[str | None] = []

    def model(spec: ModelSpec) -> Any:
        loaded.append(spec.name)
        if spec.name == "missing":
            raise LoadError("There is no model 'missing'.")
        return lab.sources.model(spec)

    study = parse_study(TEXT + "matrix: {models: [one, missing, two], seeds: [0, 1]}\n")
    done = run_matrix(study, tmp_path, sources=Sources(model, lab.sources.data))
    assert [each.name for each in done.done] == ["one-seed0", "one-seed1", "two-seed0", "two-seed1"]
    assert [each.error for each in done.failed] == ["There is no model 'missing'."] * 2
    assert loaded == ["one", "missing", "missing", "two"], "a model is loaded once for all its seeds"
    errors = [each["error"] for each in json.loads((tmp_path / "matrix.json").read_text())["combinations"]]
    assert errors.count(None) == 4


def test_the_command(replica: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(SHORT.replace("n: 6", "n: 5"))
    options = ["--model", str(replica.model), "--out", str(tmp_path / "runs"), "--seeds", "0,1", "--seeds", "1"]
    assert command(["study", "run", str(tmp_path / "study.yaml"), *options]) == 0
    shown = capsys.readouterr().out
    assert "model-seed0" in shown and "model-seed1" in shown and "comparison.html" in shown
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "comparison.html", "comparison.json", "matrix.json", "model-seed0", "model-seed1",
    ]  # fmt: skip
    assert command(["study", "run", str(tmp_path / "study.yaml"), "--seeds", "one"]) == 2
