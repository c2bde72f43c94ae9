"""`assay run` and `assay explain`: what is printed, what is kept, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.models.tiny import llama_folder

import assay
from assay import Experiment, Run, edit, metric, sweep
from assay.app.cli import run
from assay.core.result import Result

IDS = [[5, 7, 11, 13], [6, 9, 12, 2]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers with four heads, on disk."""
    path = tmp_path_factory.mktemp("model")
    llama_folder(path)
    return path


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    inputs = {"clean": IDS[0], "other": IDS[1], "both": IDS}
    metrics = [metric.logit_diff(3, 4), metric.logprob([[3], [4]], run="both"), metric.entropy(run="clean")]
    exp = sweep(edit.patch("resid_post", "other"), ["layer", "pos"], inputs=inputs, base="clean", metrics=metrics)
    return exp.save(tmp_path / "swept.json")


def test_run_shows_each_metric_and_keeps_the_result(
    folder: Path, swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    assert run(["run", str(swept), "--model", str(folder), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    kept = Result.load(out / "result.npz")
    expected = assay.load(folder).measure(Experiment.load(swept))
    for name in ("logit_diff", "logprob", "entropy"):
        np.testing.assert_allclose(kept[name].values, expected[name].values, atol=1e-6)  # rounding of float32 sums
    grid = kept["logit_diff"]
    lowest = grid.argmin(...)
    place = f"{float(grid.min()):.4g} at layer {int(lowest['layer'])}, pos {int(lowest['pos'])}"
    assert place in text and "layer 2 × pos 4" in text
    assert f"mean {float(kept['logprob'].mean()):.4g}" in text
    assert f"{float(kept['entropy']):.4g}" in text
    assert f"saved in {out / 'result.npz'}" in text.replace("\n", "")
    assert Experiment.load(out / "experiment.json") == Experiment.load(swept)
    assert kept.provenance.experiment_hash == Experiment.load(swept).hash


def test_json_holds_the_numbers(folder: Path, swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(swept), "--model", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    grid = found["variables"]["logit_diff"]
    assert grid["dims"] == ["layer", "pos"] and np.shape(grid["values"]) == (2, 4)
    assert grid["highest"]["value"] == max(map(max, grid["values"]))
    assert found["provenance"]["experiment_hash"] == Experiment.load(swept).hash
    assert found["saved"] is None


def test_shorter_prompts_have_no_number_and_no_nan_in_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exp = Experiment(inputs={"a": [[5, 6, 7], [5, 6]]}, metrics=[metric.loss()])
    path = exp.save(tmp_path / "loss.json")
    assert run(["run", str(path), "--model", str(folder), "--json"]) == 0
    text = capsys.readouterr().out
    assert "NaN" not in text
    assert json.loads(text)["variables"]["loss"]["values"][1][1] is None


def test_a_folder_with_another_result_is_left_alone(
    folder: Path, swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    Experiment(inputs={"a": IDS}, metrics=[metric.entropy()]).save(out / "experiment.json")
    assert run(["run", str(swept), "--model", str(folder), "--out", str(out)]) == 1
    assert "holds the result of another experiment" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["experiment.json"]


def test_explain_says_what_will_be_done(folder: Path, swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(swept), "--model", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "2 layer × 4 pos" in text and "token-layers" in text
    assert run(["explain", str(swept), "--model", str(folder), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["axes"] == {"layer": 2, "pos": 4}
    assert {each["run"]: each["variants"] for each in plan["runs"]}["swept"] == 8


@pytest.mark.parametrize("command", ["run", "explain"])
def test_what_is_wrong_is_one_line(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Run(input="a", edits=edit.zero("L9.mlp_out"))
    path = Experiment(inputs={"a": IDS}, runs={"main": wrong}, metrics=[metric.entropy()]).save(tmp_path / "wrong.json")
    assert run([command, str(path), "--model", str(folder)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "SiteError: zero L9.mlp_out: 'L9.mlp_out' is not in this model: it has layers 0-1. "
        "Nearest: L1.mlp_out (the last layer).\n"
    )


@pytest.mark.parametrize("command", ["run", "explain"])
def test_a_missing_file_is_one_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, str(tmp_path / "nowhere.json")]) == 1
    assert capsys.readouterr().err.startswith("StorageError: cannot read the experiment ")
