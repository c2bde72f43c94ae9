"""Whatever somebody changes in a bundle and signs again contradicts something else in it, and is named without a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from tests.studies.replicas import Files, Place, changed, edit_json, edit_plan, edit_result

from assay.studies.verify import check_bundle


def test_what_nobody_changed_agrees(replica: Place) -> None:
    found = check_bundle(replica.bundle)
    assert (found.outcome, found.code, found.problems, found.ran) == ("holds", 0, (), False)


def judgement(number: int, **changes: Any) -> Callable[[Files, Path], None]:
    def change(files: Files, _: Path) -> None:
        edit_json(files, "conclusion.json", lambda content: content["judgements"][number].update(changes))

    return change


def number(end: str, value: float) -> Callable[[Files, Path], None]:
    def change(files: Files, _: Path) -> None:
        edit_json(files, "conclusion.json", lambda content: content["judgements"][0]["number"].update({end: value}))

    return change


def flip(data: xr.Dataset) -> None:
    data["correct"].values[:] = ~data["correct"].values


def correct_answers(files: Files, folder: Path) -> None:
    edit_result(files, "accuracy", flip, folder)


def other_settings(files: Files, folder: Path) -> None:
    edit_result(files, "heads", lambda data: None, folder, settings={"direction": "noise"})


def other_method(files: Files, folder: Path) -> None:
    edit_result(files, "heads", lambda data: None, folder, method="patch_components")


def limitation(files: Files, _: Path) -> None:
    edit_json(files, "conclusion.json", lambda content: content["limitations"].pop(0))


def predicted(files: Files, _: Path) -> None:
    edit_plan(files, lambda content: content["hypotheses"][1].update(prediction="> -5"))


def study_file(files: Files, _: Path) -> None:
    files["study.yaml"] = files["study.yaml"].replace(b"> 5", b"> -5")


def study_steps(files: Files, _: Path) -> None:
    files["study.yaml"] = files["study.yaml"].replace(b"direction: denoise", b"direction: noise")


def prompts_added(files: Files, _: Path) -> None:
    lines = files["prompts/test.jsonl"].splitlines(keepends=True)
    files["prompts/test.jsonl"] = b"".join([*lines, lines[-1]])


def prompts_cut(files: Files, _: Path) -> None:
    files["prompts/test.jsonl"] = b"".join(files["prompts/test.jsonl"].splitlines(keepends=True)[:-1])


def prompts_damaged(files: Files, _: Path) -> None:
    files["prompts/test.jsonl"] = files["prompts/test.jsonl"].rstrip()[:-5] + b"\n"


@pytest.mark.parametrize(("change", "says"), [
    (judgement(1, outcome="supported"), "knows: the conclusion says supported, its numbers give refuted"),
    (judgement(0, prediction=">= 0"), "chance: the conclusion's prediction is not the plan's"),
    (judgement(0, statement="It knows everything."), "chance: the conclusion's statement is not the plan's"),
    (judgement(0, smallest_effect=9.0), "chance: the conclusion's smallest_effect is not the plan's"),
    (judgement(0, exploratory=True), "chance: the conclusion's exploratory is not the plan's"),
    (judgement(0, baselines=[]), "chance: the conclusion has other baselines"),
    (judgement(0, id="luck"), "about other hypotheses"),
    (number("value", 0.99), "chance: the conclusion says"),
    (number("low", 0.9), "chance: the conclusion says"),
    (correct_answers, "chance: the conclusion says .*, its numbers give"),
    (other_settings, "results/heads.parquet was made with other settings than the plan's: direction"),
    (other_method, "results/heads.parquet is of another step, method or data set"),
    (limitation, "a limitation was left out: authors: The model is untrained."),
    (predicted, "knows: the conclusion's prediction is not the plan's"),
    (study_file, "study.yaml is not the plan: hypotheses.1.prediction"),
    (study_steps, "study.yaml is not the plan: steps.heads.settings.direction"),
    (prompts_added, "prompts/test.jsonl holds 7 prompts, the plan asks for 6"),
    (prompts_cut, "step accuracy has numbers of 6 prompts, prompts/test.jsonl holds 5"),
    (prompts_damaged, "1 lines of the file can't be read"),
])  # fmt: skip
def test_a_change_is_found_and_named(
    replica: Place, tmp_path: Path, change: Callable[[Files, Path], None], says: str
) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", lambda files: change(files, tmp_path / "run"))
    found = check_bundle(path)
    assert (found.outcome, found.code) == ("not verified", 2)
    assert any(re.search(says, problem) for problem in found.problems), found.problems


def test_the_plan_that_was_announced(replica: Place, tmp_path: Path) -> None:
    """All of a bundle can be made anew around another plan; its hash can't."""
    plan = check_bundle(replica.bundle).plan
    assert check_bundle(replica.bundle, announced=plan).announced is True
    found = check_bundle(replica.bundle, announced="sha256:" + "0" * 64)
    assert (found.announced, found.outcome) == (False, "not verified")
