"""Running a bundle's study again: elsewhere, on another model, and after something in it was changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from tests.studies.replicas import Files, Place, changed, edit_plan, edit_result
from transformers import AutoModelForCausalLM

from assay.app.cli import run as command
from assay.core.errors import StudyError
from assay.core.protocols import Scores
from assay.studies.bundle.archive import unpack
from assay.studies.conclusion import read_conclusion
from assay.studies.folder import RunFolder
from assay.studies.plan import read_plan
from assay.studies.report.contents import read_contents
from assay.studies.run import run_study
from assay.studies.verify import Wanted, verify_bundle

START = "import sys; from assay.app.cli import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def other_model(replica: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with other weights."""
    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(replica.model, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def test_it_verifies_elsewhere(replica: Place, tmp_path: Path) -> None:
    """Another process, another folder, the model in another place."""
    shutil.copy(replica.bundle, tmp_path / "theirs.zip")
    shutil.copytree(replica.model, tmp_path / "mine")
    arguments = ["study", "verify", "theirs.zip", "--model", "mine", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["outcome"] == "holds" and found["ran"] and not found["another_model"]
    assert found["environment"] == [] and found["tolerance"] == 0
    assert {each["standing"] for each in found["quantities"] + found["results"]} == {"same"}
    assert [each["name"] for each in found["quantities"]] == ["chance", "chance, its logit difference", "knows"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "theirs.zip"], "it leaves nothing behind"


def test_a_folder_that_is_given_is_kept_and_gone_on_with(replica: Place, tmp_path: Path) -> None:
    wanted = Wanted(str(replica.model))
    first = verify_bundle(replica.bundle, wanted, folder=tmp_path / "again")
    assert read_conclusion(tmp_path / "again").judgements == read_conclusion(replica.run).judgements
    assert read_plan(tmp_path / "again").hash == read_plan(replica.run).hash, (
        "the plan does not depend on where the model is"
    )
    second = verify_bundle(replica.bundle, wanted, folder=tmp_path / "again")
    assert second.outcome == first.outcome == "holds"
    log = [json.loads(line) for line in (tmp_path / "again" / "log.jsonl").read_text().splitlines()]
    assert [line["reused"] for line in log if line["event"] == "step"] == [False] * 3 + [True] * 3


def test_without_its_own_model_it_asks_for_it(replica: Place) -> None:
    with pytest.raises(StudyError, match=r"model of its authors' own \(folder 'model'\).*--model PATH"):
        verify_bundle(replica.bundle)
    with pytest.raises(StudyError, match=r"The model of run\.zip can't be loaded"):
        verify_bundle(replica.bundle, Wanted("nowhere/such-model-is"))


def test_another_model_is_refused_unless_it_is_asked_for(replica: Place, other_model: Path) -> None:
    with pytest.raises(StudyError, match=r"fingerprint sha256:.*another model.*--another-model"):
        verify_bundle(replica.bundle, Wanted(str(other_model)))
    found = verify_bundle(replica.bundle, Wanted(str(other_model), another_model=True))
    assert found.another_model and found.problems == ()
    assert "knows" in [each.name for each in found.differing], "other weights, other numbers"


def nudge(data: xr.Dataset) -> None:
    data["score"].values[0] += 0.25


def signed_number(files: Files, folder: Path) -> None:
    """A number that no verdict hangs on: the bundle still agrees with itself."""
    edit_result(files, "heads", nudge, folder)


def test_a_changed_number_is_found_and_named(replica: Place, tmp_path: Path) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", lambda files: signed_number(files, tmp_path / "run"))
    found = verify_bundle(path, Wanted(str(replica.model)))
    assert found.problems == () and found.outcome == "holds", "the verdicts don't hang on it"
    assert [each.name for each in found.differing] == ["heads.score"]
    assert "by 0.25 at most; first component L0.H0" in found.differing[0].said
    assert command(["study", "verify", str(path), "--model", str(replica.model), "--strict"]) == 1


def rewritten(files: Files, folder: Path) -> None:
    """The answers are turned round, and all that follows from them is made anew: a careful forger."""

    def turn(data: xr.Dataset) -> None:
        data["logit_diff"].values[:] = 20 + abs(data["logit_diff"].values)

    edit_result(files, "accuracy", turn, folder)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    contents = read_contents(folder)
    from assay.studies.conclusion import concluded
    from assay.studies.run import judged

    again = concluded(
        contents.study, contents.plan, results=contents.results, verdicts=judged(contents.study, contents.results),
        about=contents.environment,
    )  # fmt: skip
    files["conclusion.json"] = json.dumps(again.model_dump(mode="json")).encode()


def test_a_changed_verdict_is_found_and_named(
    replica: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", lambda files: rewritten(files, tmp_path / "run"))
    assert command(["study", "verify", str(path), "--no-run"]) == 0, "it agrees with itself"
    assert command(["study", "verify", str(path), "--model", str(replica.model), "--out", str(tmp_path / "kept")]) == 1
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("knows"))
    assert line.split() == ["knows", "supported", "refuted", "changed"]
    assert "A verdict changed." in shown and "differs by -" in shown


def other_prompt(files: Files) -> None:
    lines = files["prompts/test.jsonl"].decode().splitlines(keepends=True)
    row = json.loads(lines[2])
    lines[2] = json.dumps(json.loads(lines[3]) | {"answers": row["answers"], "wrong": row["wrong"]}) + "\n"
    files["prompts/test.jsonl"] = "".join(lines).encode()


def test_a_changed_prompt_is_found_and_named(replica: Place, tmp_path: Path) -> None:
    found = verify_bundle(changed(replica.bundle, tmp_path / "b.zip", other_prompt), Wanted(str(replica.model)))
    assert (found.outcome, found.code) == ("not verified", 2)
    assert any(
        "prompts test: 1 of 6 are not those that the plan makes here (first prompt 2" in note for note in found.notes
    )
    assert any(
        each.startswith("results/accuracy.parquet was not made from the prompts (test)") for each in found.problems
    )
    assert not any(each.startswith("results/heads.parquet") for each in found.problems), "made from the other prompts"


def other_seed(files: Files) -> None:
    """Another plan, with nothing that it gives."""
    edit_plan(files, lambda content: content["data"]["test"].update(seed=5))
    files["study.yaml"] = files["study.yaml"].replace(
        b"  test:\n    task: ioi\n", b"  test:\n    task: ioi\n    seed: 5\n"
    )
    assert b"seed: 5" in files["study.yaml"]


def test_a_changed_plan_is_found_and_named(replica: Place, tmp_path: Path) -> None:
    """The prompts in the bundle are not those of its plan, though the results come from them."""
    found = verify_bundle(changed(replica.bundle, tmp_path / "b.zip", other_seed), Wanted(str(replica.model)))
    assert any(note.startswith("prompts test: 6 of 6 are not those that the plan makes here") for note in found.notes)


def reading_a_file(files: Files) -> None:
    edit_plan(files, lambda content: content["steps"]["heads"].update(
        method="read_circuit", settings={"path": "/etc/passwd"}
    ))  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [
    (reading_a_file, "another step, method|not the plan"),
    (lambda files: edit_plan(files, lambda c: c["steps"]["heads"].update(method="delete_everything")), "not the plan|method"),
])  # fmt: skip
def test_a_plan_that_asks_for_something_else_is_not_run(
    replica: Place, tmp_path: Path, change: Callable[[Files], None], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", change)
    assert command(["study", "verify", str(path), "--model", str(replica.model)]) == 2
    assert "heads" in capsys.readouterr().out


def test_hostile_bundles_end_with_2_and_a_line(
    replica: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 and nothing else")
    assert command(["study", "verify", str(tmp_path / "b.zip")]) == 2
    assert capsys.readouterr().err.startswith("UnsafeError: b.zip is a broken zip archive")
    assert command(["study", "verify", str(tmp_path / "b.zip"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["outcome"] == "not verified"


def test_hypotheses_that_were_added_later_stay_exploratory(replica: Place, tmp_path: Path) -> None:
    from tests.studies.replicas import short_study

    from assay.studies.bundle import write_bundle

    study = short_study(replica.model)
    later = study.hypotheses[0].model_copy(update={"id": "later"})
    shutil.copytree(replica.run, tmp_path / "run")
    run_study(study.model_copy(update={"hypotheses": (*study.hypotheses, later)}), tmp_path / "run", amend=True)
    shutil.copy(replica.run / "report.html", tmp_path / "run")
    bundle = write_bundle(tmp_path / "run", tmp_path / "b.zip")
    found = verify_bundle(bundle, Wanted(str(replica.model)), folder=tmp_path / "again")
    assert {each.hypothesis: each.exploratory for each in found.verdicts} == {
        "chance": False, "knows": False, "later": True,
    }  # fmt: skip
    assert [each.exploratory for each in read_conclusion(tmp_path / "again").judgements] == [False, False, True]


def test_results_are_read_as_they_were_written(replica: Place, tmp_path: Path) -> None:
    """Numbers survive the bundle bit by bit: what verifies compares the right things."""
    files: dict[str, Any] = unpack(replica.bundle)
    assert files["results/heads.parquet"] == RunFolder(replica.run).result_path("heads").read_bytes()
    assert Scores.from_dataset(RunFolder(replica.run).load("heads").data).components[0] == "L0.H0"


def test_a_plan_of_an_older_version_is_told_from_a_changed_one(replica: Place, tmp_path: Path) -> None:
    """A field that did not exist when it was frozen has its default now."""
    path = changed(
        replica.bundle, tmp_path / "b.zip", lambda f: edit_plan(f, lambda c: c["analysis"].pop("control_time"))
    )
    files = unpack(path)
    assert b"control_time" in files["study.yaml"]
    text = files["study.yaml"].replace(b"  control_time: 0.0\n", b"")
    path = changed(path, tmp_path / "c.zip", lambda f: f.update({"study.yaml": text}))
    found = verify_bundle(path, Wanted(str(replica.model)))
    assert found.outcome == "holds"
    assert any("writes more into the plan: analysis.control_time" in note for note in found.notes)
