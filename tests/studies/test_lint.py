"""What is said of a study before it runs: each remark on a study that deserves it, none on one that doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from assay.studies.lint import check_study
from assay.studies.lint.causes import causal_words
from assay.studies.lint.reading import reads_what_is_not_there
from assay.studies.lint.size import simulation
from assay.studies.read import parse_study, read_study
from assay.studies.schema import Study

TEXT = """
title: Small
question: Is it small?
data:
  find: {task: ioi, split: train, n: 40}
  test: {task: ioi, split: test, n: 400}
steps:
  accuracy: {method: task_accuracy, data: test}
  lens: {method: logit_lens, data: test}
  heads: {method: patch_heads, data: find, settings: {direction: denoise}}
  weights: {method: head_weight_norms, data: find}
  kept:
    method: keep_set
    data: test
    needs: {chosen: heads, scores: heads, rival: weights}
    settings: {ablation: counterfactual}
hypotheses:
  - id: right
    statement: It is right on most prompts.
    quantity: {step: accuracy, variable: correct}
    prediction: ">= 0.7"
    smallest_effect: 0.1
    baselines: [{name: half of the depth, quantity: {step: lens, variable: correct, coords: {layer: {depth: [0.5, 0.5]}}}}]
"""


def study(**changes: Any) -> Study:
    """The sound study, with changes to its hypothesis (`statement`, `quantity`, …) or to other parts of the file."""
    content = yaml.safe_load(TEXT)
    for name, value in changes.items():
        if name in ("data", "steps", "analysis"):
            content.setdefault(name, {}).update(value)
        elif name == "hypotheses":
            content[name] += value
        elif value is None:
            del content["hypotheses"][0][name]
        else:
            content["hypotheses"][0][name] = value
    return parse_study(yaml.safe_dump(content, sort_keys=False))


def rules(asked: Study) -> list[str]:
    return [each.rule for each in check_study(asked)]


KEPT = {"step": "kept", "variable": "kept", "coords": {"ranking": "found"}}


def test_nothing_is_said_of_a_sound_study() -> None:
    assert check_study(study()) == ()


@pytest.mark.parametrize(
    ("rule", "level", "changes"),
    [
        ("causes", "error", {"statement": "The middle layers cause the answer."}),
        ("selection", "error", {"quantity": KEPT, "steps": {"heads": {"method": "patch_heads", "data": "test",
                                                                    "settings": {"direction": "denoise"}}}}),
        ("telling", "error", {"prediction": ">= 0"}),
        ("telling", "error", {"prediction": "> 1"}),
        ("telling", "error", {"baselines": [{"name": "itself", "quantity": {"step": "accuracy", "variable": "correct"}}]}),
        ("baseline", "warning", {"baselines": None}),
        ("words", "warning", {"statement": "The model always knows the answer."}),
        ("extreme", "warning", {"quantity": {"step": "lens", "variable": "correct", "over": "max"}}),
        ("split", "warning", {"data": {"test": {"task": "ioi", "split": "validation", "n": 400}}}),
        ("size", "warning", {"data": {"test": {"task": "ioi", "split": "test", "n": 20}}}),
    ],
)  # fmt: skip
def test_each_fault_is_found(rule: str, level: str, changes: dict[str, Any]) -> None:
    found = [each for each in check_study(study(**changes)) if each.rule == rule]
    assert [each.level for each in found] == [level] and all(each.problem and each.advice for each in found)


SECOND = {
    "id": "again",
    "statement": "It is right on nearly all prompts.",
    "quantity": {"step": "accuracy", "variable": "correct"},
    "prediction": ">= 0.75",
    "smallest_effect": 0.2,
    "baselines": [{"name": "nothing", "quantity": {"step": "accuracy", "variable": "top"}}],
}


def test_two_hypotheses_need_a_correction_and_numbers_that_tell_them_apart() -> None:
    assert rules(study(hypotheses=[SECOND])) == ["telling"]
    assert rules(study(hypotheses=[SECOND], analysis={"correction": "none"})) == ["correction", "telling"]
    other = SECOND | {"prediction": "< 0.5", "smallest_effect": 0.2}
    assert rules(study(hypotheses=[other])) == []


def test_a_step_that_intervenes_may_speak_of_causes() -> None:
    assert causal_words("These heads are needed, because of copying.") == ["are needed", "because of"]
    assert causal_words("The model is right on most prompts.") == []
    asked = study(statement="These heads are enough to keep it.", quantity=KEPT, prediction=">= 0.5", spread=0.3)
    assert "causes" not in rules(asked)


def test_a_ranking_by_weights_has_seen_no_examples() -> None:
    steps = {
        "weights": {"method": "head_weight_norms", "data": "test"},
        "kept": {
            "method": "keep_set", "data": "test", "needs": {"chosen": "heads", "scores": "heads", "rival": "weights"},
            "settings": {"ablation": "counterfactual"},
        },
    }  # fmt: skip
    assert "selection" not in rules(study(quantity=KEPT, prediction=">= 0.5", spread=0.3, steps=steps))


def test_two_scores_of_the_same_examples_may_be_compared() -> None:
    """Numbers that are there are set side by side: nothing is chosen and then judged."""
    steps = {
        "exact": {"method": "patch_heads", "data": "test", "settings": {"direction": "noise"}},
        "weights": {"method": "head_weight_norms", "data": "test"},
        "error": {"method": "estimate_error", "data": "test", "needs": {"approximate": "weights", "exact": "exact"}},
    }
    quantity = {"step": "error", "variable": "spearman", "coords": {"bound": "low"}}
    assert "selection" not in rules(study(quantity=quantity, prediction=">= 0.5", spread=0.3, steps=steps))


def test_the_power_is_that_of_the_verdict() -> None:
    """Of 4000 simulated studies of 100 prompts with truth .8, Wilson's interval lies above .7 in 62 %: sd of that .008."""
    simulate, decide = simulation(study().hypotheses[0], 0.95)
    rng = np.random.default_rng(1)
    share = np.mean([decide(simulate(rng, 100)) for _ in range(4000)])
    exact = _exact(100, 0.8, 0.7)
    assert share == pytest.approx(exact, abs=0.03)


def _exact(n: int, truth: float, bound: float) -> float:
    """The chance that Wilson's interval lies above the bound, by summing over all counts."""
    from scipy.stats import binom

    from assay.stats import wilson

    return float(sum(binom.pmf(k, n, truth) for k in range(n + 1) if wilson(k, n, level=0.95).low >= bound))


def test_what_a_step_can_not_give_is_seen_before_it_has_run() -> None:
    def found(quantity: dict[str, Any]) -> list[str]:
        return [each.problem for each in check_study(study(quantity=quantity)) if each.rule == "quantity"]

    assert found({"step": "heads", "coords": {"component": "L0.H0"}}) == []
    assert found({"step": "kept", "variable": "fraction"}) == []  # what it gives is not known before it has run
    (variable,) = found({"step": "heads", "variable": "fraction"})
    assert "no 'fraction'" in variable and "`score` by `component`" in variable
    (axis,) = found({"step": "heads", "coords": {"componant": "L0.H0"}})
    assert "no 'componant'" in axis and "component" in axis.partition("componant")[2]


def test_examples_and_their_baselines_read_what_is_there() -> None:
    for path in sorted((Path(__file__).parents[2] / "examples").glob("**/study.yaml")):
        assert list(reads_what_is_not_there(read_study(path))) == [], path
