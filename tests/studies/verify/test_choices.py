"""Verdicts under other declared choices are verified with the rest: a changed one, a dropped one, one that nobody declared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.studies.replicas import Files, Place, changed, finished

from assay.studies.verify import Wanted, check_bundle, verify_bundle

TEXT = """\
title: Choices
question: Does it hang on the direction?
data: {find: {task: ioi, split: train, n: 4, templates: [train-2-ABBA]}}
steps:
  heads: {method: patch_heads, data: find, settings: {direction: denoise}}
hypotheses:
  - id: first
    statement: The first head restores nearly nothing.
    quantity: {step: heads, coords: {component: L0.H0}}
    prediction: "in [-5, 5]"
    smallest_effect: 10
sensitivity:
  - {name: the_other_way, settings: {heads: {direction: noise}}}
analysis: {resamples: 200, control_time: 0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("choices")
    return finished(folder, TEXT)


def edited(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        content = json.loads(files["conclusion.json"])
        change(content["judgements"][0]["otherwise"])
        files["conclusion.json"] = json.dumps(content).encode()

    return edit


def test_they_are_judged_again(place: Place) -> None:
    found = verify_bundle(place.bundle, Wanted(str(place.model)))
    assert found.outcome == "holds"
    assert [each.hypothesis for each in found.verdicts] == ["first", "first, under the_other_way"]
    assert [(each.name, each.standing) for each in found.quantities] == [
        ("first", "same"),
        ("first, under the_other_way", "same"),
    ]


@pytest.mark.parametrize("what", ["turned", "dropped"])
def test_one_that_was_changed_afterwards_is_found(place: Place, tmp_path: Path, what: str) -> None:
    turn = edited(lambda each: each[0].update(outcome="refuted"))
    path = changed(place.bundle, tmp_path / "b.zip", turn if what == "turned" else edited(lambda each: each.clear()))
    found = verify_bundle(path, Wanted(str(place.model)))
    assert found.outcome == "changed"
    (unlike,) = [each for each in found.verdicts if not each.holds]
    assert unlike.hypothesis == "first, under the_other_way"
    assert unlike.before == ("refuted" if what == "turned" else "no verdict")


def test_one_that_nobody_declared_contradicts_the_plan(place: Place, tmp_path: Path) -> None:
    path = changed(place.bundle, tmp_path / "b.zip", edited(lambda each: each[0].update(name="a_third")))
    assert any("which the plan does not declare" in each for each in check_bundle(path).problems)
