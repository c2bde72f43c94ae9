"""Studies of the user's own prompts: taken from a file, frozen by their hash, run again from a run folder and a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studies.small import model_folder

from assay.core.errors import DataError, StudyError
from assay.data import task
from assay.studies.bundle import write_bundle
from assay.studies.lint import check_study
from assay.studies.own_prompts import own_prompts
from assay.studies.plan import content_of, read_plan
from assay.studies.read import parse_study, read_study
from assay.studies.report import FORMATS, write_report
from assay.studies.run import run_study
from assay.studies.schema import ModelSpec, Study
from assay.studies.verify import Wanted, verify_bundle

TEXT = """\
title: Of our own
question: Does it do what we wrote?
data:
  find: {file: ours.jsonl, split: train, n: 4}
  test: {file: ours.jsonl, split: test, n: 5, seed: 3}
steps:
  accuracy: {method: task_accuracy, data: test}
  heads: {method: patch_heads, data: find, settings: {direction: denoise}}
hypotheses:
  - id: chance
    statement: An untrained model is at chance.
    quantity: {step: accuracy, variable: correct}
    prediction: "in [0, 0.99]"
    smallest_effect: 0.4
analysis: {resamples: 200, control_time: 0}
"""
CHOSEN = """\
  chosen: {method: smallest_heads, data: test, needs: {scores: heads}, settings: {ablation: counterfactual}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a study, its prompts and a model."""
    lines = [
        example.model_dump_json(exclude_defaults=True)
        for split, n in (("train", 4), ("test", 9))
        for example in task("ioi", n=n, split=split)
    ]
    (tmp_path / "ours.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "study.yaml").write_text(TEXT)
    model_folder(tmp_path / "model")
    return tmp_path


def study_in(place: Path, folder: str = ".") -> Study:
    study = read_study(place / folder / "study.yaml")
    return study.model_copy(update={"model": ModelSpec(name=str(place / "model"))})


def test_it_runs_from_the_file_from_the_run_folder_and_from_a_bundle(place: Path) -> None:
    first = run_study(study_in(place), place / "run")
    assert [first.results[step].data.sizes["example"] for step in ("accuracy", "heads")] == [5, 4]
    (place / "ours.jsonl").unlink()
    again = run_study(study_in(place, "run"), place / "again")
    assert again.plan.hash == first.plan.hash
    assert again.conclusion.judgements == first.conclusion.judgements
    for form in FORMATS:
        write_report(place / "run", form=form)
    assert "study&#39;s own" in (place / "run" / "report.html").read_text()
    bundle = write_bundle(place / "run", place / "ours.zip")
    found = verify_bundle(bundle, Wanted(model=str(place / "model")), folder=place / "there")
    assert (found.outcome, found.problems, found.notes, found.differing) == ("holds", (), (), ())
    assert read_plan(place / "there").hash == first.plan.hash


def test_what_is_frozen_is_the_prompts_and_not_where_they_lie(place: Path) -> None:
    before = content_of(study_in(place))
    (place / "elsewhere").mkdir()
    (place / "ours.jsonl").rename(place / "elsewhere" / "renamed.jsonl")
    (place / "elsewhere" / "study.yaml").write_text(TEXT.replace("ours.jsonl", "renamed.jsonl"))
    assert content_of(study_in(place, "elsewhere")) == before
    assert "jsonl" not in json.dumps(before)
    lines = (place / "elsewhere" / "renamed.jsonl").read_text().splitlines()
    (place / "elsewhere" / "renamed.jsonl").write_text("\n".join([*lines[1:4], lines[0], *lines[4:]]))
    changed = content_of(study_in(place, "elsewhere"))["data"]
    assert changed["find"] != before["data"]["find"] and changed["test"] == before["data"]["test"]


def test_a_changed_file_is_another_plan(place: Path) -> None:
    run_study(study_in(place), place / "run")
    text = (place / "ours.jsonl").read_text()
    (place / "ours.jsonl").write_text(text.replace('"template":"', '"template":"new-'))
    with pytest.raises(StudyError, match=r"changed are data\.find\.prompts"):
        run_study(study_in(place), place / "run")
    (place / "run" / "prompts" / "find.jsonl").write_text(text)
    frozen = read_plan(place / "run").current.content["data"]["test"]["prompts"]
    spec = study_in(place).data["test"].model_copy(update={"prompts": frozen})
    with pytest.raises(StudyError, match="not those of the plan"):
        own_prompts(spec)


def test_a_part_is_drawn_by_seed_and_all_keep_their_order(place: Path) -> None:
    spec = study_in(place).data["test"]
    some, others = own_prompts(spec), own_prompts(spec.model_copy(update={"seed": 4}))
    assert len(some) == 5 and some.examples == own_prompts(spec).examples != others.examples
    every = own_prompts(spec.model_copy(update={"n": 9}))
    lines = (place / "ours.jsonl").read_text().splitlines()[4:]
    assert [example.clean for example in every] == [json.loads(line)["clean"] for line in lines]
    assert {example.split for example in every} == {"test"}


def test_what_can_not_be_used_is_said(place: Path) -> None:
    spec = study_in(place).data["test"]
    with pytest.raises(DataError, match=r"ours\.jsonl has 9 examples of split test, and n = 10"):
        own_prompts(spec.model_copy(update={"n": 10}))
    with pytest.raises(DataError, match="no template 'x'"):
        own_prompts(spec.model_copy(update={"templates": ("x",)}))
    with pytest.raises(StudyError, match="either a `task` or a `file`"):
        parse_study(TEXT.replace("file: ours.jsonl, split: test", "file: ours.jsonl, task: ioi, split: test"))
    with pytest.raises(StudyError, match="either a `task` or a `file`"):
        parse_study(TEXT.replace("file: ours.jsonl, split: test", "split: test"))
    (place / "ours.jsonl").unlink()
    with pytest.raises(DataError, match="No such file"):
        check_study(study_in(place))


def test_judging_where_parts_were_found_is_seen_in_own_prompts_too(place: Path) -> None:
    """Files that mark their splits keep them apart; of a file without marks, what is drawn twice is found."""
    text = TEXT.replace("hypotheses:", CHOSEN + "hypotheses:").replace(
        "step: accuracy, variable: correct", "step: chosen"
    )
    (place / "study.yaml").write_text(text)
    assert not [each for each in check_study(study_in(place)) if each.rule == "selection"]
    rows = [json.loads(line) for line in (place / "ours.jsonl").read_text().splitlines()]
    unmarked = [{key: value for key, value in row.items() if key != "split"} for row in rows]
    (place / "ours.jsonl").write_text("\n".join(map(json.dumps, unmarked)))
    (place / "study.yaml").write_text(text.replace("n: 4", "n: 10"))
    found = [each for each in check_study(study_in(place)) if each.rule == "selection"]
    assert found, "of 13 examples 10 and 5 are drawn: some twice"
