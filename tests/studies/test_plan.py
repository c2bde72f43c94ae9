"""Freezing: what is hashed, what a change does, and that nobody edits the plan afterwards unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.core.errors import SettingsError, StudyError
from assay.studies.plan import changes, content_of, freeze, read_plan
from assay.studies.read import parse_study

from .conftest import TEXT, Lab


def test_defaults_of_methods_are_part_of_the_plan(lab: Lab) -> None:
    spoken = parse_study(TEXT.replace("settings: {mean: 2.0}", "settings: {mean: 1.0}"))
    silent = parse_study(TEXT.replace(", settings: {mean: 2.0}", ""))
    assert content_of(spoken) == content_of(silent)
    assert content_of(lab.study)["steps"]["first"]["settings"] == {"mean": 2.0}


def test_freezing_twice_keeps_the_first_time(lab: Lab, tmp_path: Path) -> None:
    first, second = freeze(lab.study, tmp_path), freeze(lab.study, tmp_path)
    assert first == second
    assert second.hash.startswith("sha256:")
    assert second.deviations() == []


def test_another_plan_is_refused_and_says_what_changed(lab: Lab, tmp_path: Path) -> None:
    freeze(lab.study, tmp_path)
    changed = parse_study(TEXT.replace('">= 1"', '">= 2"'))
    with pytest.raises(StudyError, match=r"changed are hypotheses\.0\.prediction.*--amend"):
        freeze(changed, tmp_path)


def test_an_amended_plan_records_the_deviation_and_marks_what_is_exploratory(lab: Lab, tmp_path: Path) -> None:
    freeze(lab.study, tmp_path)
    plan = freeze(parse_study(TEXT.replace('">= 1"', '">= 2"')), tmp_path, amend=True)
    assert len(plan.frozen) == 2
    assert plan.is_exploratory("large") and not plan.is_exploratory("small")
    assert "hypotheses.0.prediction" in plan.deviations()[0]
    assert read_plan(tmp_path) == plan


def test_a_plan_that_was_edited_is_found_out(lab: Lab, tmp_path: Path) -> None:
    freeze(lab.study, tmp_path)
    data = json.loads((tmp_path / "plan.json").read_text())
    data["plans"][0]["content"]["hypotheses"][0]["prediction"] = ">= 0.1"
    (tmp_path / "plan.json").write_text(json.dumps(data))
    with pytest.raises(StudyError, match="its content does not have its hash"):
        read_plan(tmp_path)


def test_unknown_methods_settings_and_missing_inputs_are_refused_before_any_compute(lab: Lab) -> None:
    with pytest.raises(SettingsError, match="no method 'mesure'"):
        content_of(parse_study(TEXT.replace("method: measure", "method: mesure")))
    with pytest.raises(SettingsError, match="'men' is not a setting"):
        content_of(parse_study(TEXT.replace("mean: 2.0", "men: 2.0")))
    with pytest.raises(StudyError, match="double takes the earlier results scores; `needs` gives none"):
        content_of(parse_study(TEXT.replace(", needs: {scores: first}", "")))
    assert lab.calls == []


def test_a_folder_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not a run folder"):
        read_plan(tmp_path)


def test_changes_name_the_places() -> None:
    before = {"a": 1, "b": [1, {"c": 2}], "d": 0}
    assert changes(before, {"a": 1, "b": [1, {"c": 3}]}) == ["b.1.c", "d"]
    assert changes(before, before) == []
