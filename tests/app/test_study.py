"""`assay study` from the outside: a whole run, stopped anywhere and gone on with, and its report made again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from tests.studies.small import model_folder, study_file

from assay.app.cli import run
from assay.app.commands.study_run import default_folder
from assay.studies.conclusion import read_conclusion
from assay.studies.folder import RunFolder

STEPS = ("accuracy", "residual", "enough", "needed", "ranking", "weights", "chosen", "kept", "attention")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    model_folder(folder / "model")
    study_file(folder / "study.yaml")
    return folder


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    """A run that nobody stopped."""
    assert run(["study", "run", str(place / "study.yaml"), *options(place, "whole")]) == 0
    return place / "whole"


def options(place: Path, out: str) -> list[str]:
    return ["--model", str(place / "model"), "--out", str(place / out)]


def log(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "log.jsonl").read_text(encoding="utf-8") if (folder / "log.jsonl").exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def done_once(folder: Path) -> list[str]:
    return [line["step"] for line in log(folder) if line["event"] == "step" and not line["reused"]]


def test_a_run_leaves_everything_behind(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {"study.yaml", "plan.json", "environment.json", "log.jsonl", "prompts", "results"}
    assert {path.stem for path in (finished / "results").iterdir()} == set(STEPS)
    found = read_conclusion(finished)
    assert [each.id for each in found.judgements] == ["chance", "enters_at_s2"]
    assert {each.source.split()[0] for each in found.limitations} >= {"authors", "step"}
    assert found.passes > 0
    assert RunFolder(finished).load("kept").card["cites"] == ["arXiv:2211.00593"]


def test_the_report_can_be_made_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "report.html").read_text(encoding="utf-8")
    (finished / "report.html").unlink()
    assert run(["study", "report", str(finished)]) == 0
    assert capsys.readouterr().out.strip() == str(finished / "report.html")
    assert (finished / "report.html").read_text(encoding="utf-8") == before


def test_the_verdict_is_short(finished: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "run", str(place / "study.yaml"), *options(place, "whole")]) == 0
    shown = capsys.readouterr()
    assert "chance" in shown.out and "in [0.1, 0.9]" in shown.out and "at the token itself" in shown.out
    assert len(shown.out.splitlines()) < 20
    assert shown.err.count("found done") == len(STEPS)


def test_json_is_the_conclusion(finished: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "run", str(place / "study.yaml"), *options(place, "whole"), "--json"]) == 0
    shown = capsys.readouterr()
    assert [each["id"] for each in json.loads(shown.out)["judgements"]] == ["chance", "enters_at_s2"]
    assert shown.err == ""


def stopped(place: Path, out: str, how: signal.Signals) -> tuple[int, str]:
    """A run in another process that is stopped after its first step: its exit code, and what it said."""
    start = "from assay.app.cli import main; main()"
    command = [sys.executable, "-c", start, "study", "run", str(place / "study.yaml"), *options(place, out)]
    # where tests run in the background of a shell, Ctrl-C is ignored, and children would ignore it too
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    while process.poll() is None and not done_once(place / out):
        time.sleep(0.01)
    process.send_signal(how)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_where_it_was(finished: Path, place: Path, how: signal.Signals) -> None:
    for attempt in range(3):  # on a busy machine the run may be over before the signal arrives
        out = f"stopped-{how.name}-{attempt}"
        code, errors = stopped(place, out, how)
        if code != 0:
            break
    folder = place / out
    before = done_once(folder)
    if how is signal.SIGINT:
        assert code == 130
        assert "Finished steps are kept" in errors
        assert log(folder)[-1]["event"] == "interrupted"
    assert before and len(before) < len(STEPS), "stopped in the middle"
    assert run(["study", "run", str(place / "study.yaml"), *options(place, out)]) == 0
    assert sorted(done_once(folder)) == sorted(STEPS), "no step is done twice"
    for step in STEPS:
        one, other = RunFolder(folder).load(step).data, RunFolder(finished).load(step).data
        xr.testing.assert_equal(one, other)
    assert [each.number for each in read_conclusion(folder).judgements] == [
        each.number for each in read_conclusion(finished).judgements
    ]


def test_a_damaged_result_is_done_again(finished: Path, place: Path) -> None:
    whole = RunFolder(finished).load("needed").data
    path = RunFolder(finished).result_path("needed")
    path.write_bytes(path.read_bytes()[:100])
    assert run(["study", "run", str(place / "study.yaml"), *options(place, "whole")]) == 0
    xr.testing.assert_equal(RunFolder(finished).load("needed").data, whole)


def test_another_model_in_the_same_folder_is_refused(
    finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", "run", str(place / "study.yaml"), "--out", str(finished)]) == 1
    assert "changed are model.name" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["run", "nowhere.yaml"], ["report", "nowhere"]])
def test_what_is_not_there_is_told_in_a_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", *command]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("StudyError: ") and "nowhere" in error and "\n" not in error


def test_the_folder_has_a_telling_name() -> None:
    assert default_folder(Path("examples/ioi/study.yaml"), None) == Path("runs/ioi")
    assert default_folder(Path("greater.yaml"), "EleutherAI/pythia-70m") == Path("runs/greater-pythia-70m")
    assert default_folder(Path("study.yaml"), "./my model/") == Path("runs/study-my-model")


def test_a_new_study_is_written_checked_and_refused_a_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    assert run(["study", "new", str(path), "--task", "agreement", "--template", "negative", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"study": str(path)}
    assert run(["study", "check", str(path)]) == 0
    assert "nothing to say against it" in capsys.readouterr().out
    assert run(["study", "new", str(path), "--yes"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(["study", "schema", str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text(encoding="utf-8").startswith("{")


def test_a_study_whose_verdict_would_be_worthless_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    run(["study", "new", str(path), "--yes"])
    text = path.read_text(encoding="utf-8").replace('prediction: ">= 0.75"', 'prediction: ">= 0"')
    path.write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert run(["study", "check", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found[0]["rule"] == "telling" and found[0]["where"] == "hypotheses.does_it.prediction"
