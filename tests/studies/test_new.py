"""New studies: they read back, nothing is said against them, and they run on a model as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.experiments.json_schema import unfitting
from tests.studies.small import model_folder

from assay.core.codec import pretty
from assay.core.errors import StudyError
from assay.studies.json_schema import PATH, study_schema
from assay.studies.lint import check_study
from assay.studies.new import STARTERS, new_study
from assay.studies.read import read_study
from assay.studies.run import run_study
from assay.studies.schema import ModelSpec

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("starter", STARTERS)
def test_a_new_study_is_sound(starter: str, tmp_path: Path) -> None:
    title = 'Who is "it": a {strange} title?'
    path = new_study(starter, tmp_path / "a.yaml", title=title, task="agreement")
    study = read_study(path)
    assert study.title == title and {spec.task for spec in study.data.values()} == {"agreement"}
    assert check_study(study) == ()
    assert (tmp_path / "study.schema.json").read_text(encoding="utf-8") == pretty(study_schema())


@pytest.mark.parametrize("starter", STARTERS)
def test_a_new_study_runs_as_it_stands(starter: str, tmp_path: Path) -> None:
    model_folder(tmp_path / "model")
    study = read_study(new_study(starter, tmp_path / "a.yaml", n=8))
    small = study.model_copy(update={"model": ModelSpec(name=str(tmp_path / "model"))})
    run = run_study(small, tmp_path / "run")
    assert [each.id for each in run.conclusion.judgements] == [each.id for each in study.hypotheses]
    assert all(each.number.value is not None or each.outcome == "inconclusive" for each in run.conclusion.judgements)


def test_what_can_not_be_begun_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no starter: there are circuit, replication, negative, .*circuit"):
        new_study("circiut", tmp_path / "a.yaml")
    new_study("circuit", tmp_path / "a.yaml")
    with pytest.raises(StudyError, match="exists already"):
        new_study("negative", tmp_path / "a.yaml")
    assert "enough" in (tmp_path / "a.yaml").read_text(encoding="utf-8")


def test_steering_needs_a_task_with_two_sides(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nothing to steer towards in 'ioi'.*sentiment, gender-pronoun"):
        new_study("steering", tmp_path / "a.yaml", task="ioi")
    study = read_study(new_study("steering", tmp_path / "a.yaml", task="gender-pronoun"))
    assert study.steps["vector"].settings["towards"] == "she"
    assert "woman" in study.steps["steered"].settings["instruction"]


def test_the_published_schema_is_what_the_models_say() -> None:
    stale = "docs/study.schema.json is stale: python -m assay.studies.json_schema"
    assert (ROOT / PATH).read_text(encoding="utf-8") == pretty(study_schema()), stale


def test_studies_fit_the_schema(tmp_path: Path) -> None:
    import yaml

    schema = study_schema()
    for path in (ROOT / "examples/ioi/study.yaml", new_study("negative", tmp_path / "a.yaml")):
        content = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
        assert unfitting(content, schema, schema) == []
    assert unfitting({"title": "a", "question": "b"}, schema, schema) != []
