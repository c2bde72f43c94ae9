"""The study file: a good one is read, a bad one is refused with its line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.errors import StudyError
from assay.studies.quantity import selectors
from assay.studies.read import parse_study, read_study

GOOD = """\
title: A small study
question: Does it work?
data:
  test: {task: ioi, n: 8, split: test}
steps:
  accuracy: {method: task_accuracy, data: test}
  keep: {method: keep_heads, data: test, needs: {scores: accuracy}, settings: {seed: 1}}
hypotheses:
  - id: works
    statement: It works.
    quantity: {step: accuracy, variable: correct}
    prediction: ">= 0.9"
    refuted_if: "< 0.8"
    smallest_effect: 0.05
  - id: kept
    statement: Few heads keep it.
    quantity:
      share:
        of: {step: keep, variable: logit_diff, coords: {fraction: 0.1}}
        zero: {step: keep, variable: none}
        one: {step: keep, variable: all}
    prediction: ">= 0.8"
    smallest_effect: 0.1
    baselines:
      - name: random heads
        quantity: {step: keep, variable: random, coords: {fraction: 0.1}}
"""


def test_a_good_study_is_read() -> None:
    study = parse_study(GOOD)
    assert list(study.steps) == ["accuracy", "keep"]
    assert study.hypotheses[0].prediction.holds(0.95)
    assert [each.variable for each in selectors(study.hypotheses[1].quantity)] == ["logit_diff", "none", "all"]
    assert study.model.name is None


def test_it_survives_a_json_round_trip() -> None:
    study = parse_study(GOOD)
    assert type(study).model_validate_json(study.model_dump_json(by_alias=True)) == study


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('prediction: ">= 0.9"', 'prediction: "large"', 12, "hypotheses.0.prediction: 'large' holds no number"),
        ("    smallest_effect: 0.05\n", "", 9, "hypotheses.0.smallest_effect: must be given"),
        ("question: Does it work?\n", "", 1, "question: must be given"),
        ("n: 8", "n: 0", 4, "data.test.n: input should be greater than 0"),
        ("split: test", "split: exam", 4, "data.test.split: input should be 'train', 'validation' or 'test'"),
        ("statement: It works.", "statment: It works.", 10, "0.statment: not a field here. Nearest: statement"),
        ("{step: accuracy, variable: correct}", "{stp: accuracy}", 11, "hypotheses.0.quantity: a quantity has one of"),
        ("variable: correct}", "varable: correct}", 11, "hypotheses.0.quantity.varable: not a field here"),
        ('refuted_if: "< 0.8"', 'refuted_if: "< 0.95"', 9, "can hold at once"),
        ("id: kept", "id: works", 8, "two hypotheses are called works"),
        ("needs: {scores: accuracy}", "needs: {scores: keep}", 1, "needs.scores: 'keep' is not an earlier step"),
        ("accuracy, variable", "acuracy, variable", 1, "'acuracy' is not a step of this study (there are:"),
        ("method: task_accuracy, data: test", "method: task_accuracy, data: tst", 1, "'tst' is not a data set"),
        ("variable: none}", "variable: none, coords: {x: {matches: '('}}}", 1, "'(' is not a regular expression"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_field(old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError) as caught:
        parse_study(GOOD.replace(old, new, 1), name="ioi.yaml")
    assert any(each.startswith(f"ioi.yaml:{line}: ") and says in each for each in str(caught.value).splitlines())


def test_several_mistakes_are_all_shown() -> None:
    text = GOOD.replace("n: 8", "n: 0").replace('">= 0.9"', '"large"')
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    assert len(str(caught.value).splitlines()) == 2


def test_yaml_mistakes() -> None:
    with pytest.raises(StudyError, match="s:1: not valid YAML"):
        parse_study("title: [", name="s")
    with pytest.raises(StudyError, match="s:2: the key 'title' is given twice"):
        parse_study("title: a\ntitle: b\n", name="s")
    with pytest.raises(StudyError, match="expected a mapping"):
        parse_study("- a\n- b\n", name="s")


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(StudyError, match="study format 7; this assay reads up to 1"):
        parse_study("version: 7\n" + GOOD)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"Cannot read the study file .*none\.yaml: No such file"):
        read_study(tmp_path / "none.yaml")
