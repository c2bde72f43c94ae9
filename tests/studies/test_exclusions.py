"""Prompts left out by a declared rule: the right ones, counted, and never where behaviour itself is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.studies.replicas import SHORT, Place

from assay.core.errors import StudyError
from assay.data.pairs import Pairs
from assay.studies.exclusions import without_excluded
from assay.studies.lint.selection import judged_on_what_was_left
from assay.studies.plan import content_of
from assay.studies.read import parse_study
from assay.studies.report import write_report
from assay.studies.run import default_sources, run_study
from assay.studies.schema import DataSpec, ModelSpec, Study


def with_rule(rules: str, model: Path | None = None) -> Study:
    text = SHORT.replace("{task: ioi, split: test, n: 6}", f"{{task: ioi, split: test, n: 6, exclude: [{rules}]}}")
    study = parse_study(text)
    return study if model is None else study.model_copy(update={"model": ModelSpec(name=str(model))})


def test_what_the_model_gets_wrong_is_left_out(replica: Place) -> None:
    sources = default_sources()
    model = sources.model(ModelSpec(name=str(replica.model)))
    spec = DataSpec(task="ioi", split="test", n=24)
    every = sources.data(spec, model)
    right = []
    for tokens, answer, wrong in zip(every.aligned_tokens(), every.answer_ids, every.all_wrong, strict=True):
        row = model.run([list(tokens.clean)]).logits[0, -1]
        right.append(bool(row[answer] > row[wrong].max()))
    assert 0 < sum(right) < len(right), "an untrained model guesses"
    kept = sources.data(spec.model_copy(update={"exclude": ("wrong",)}), model)
    assert [e.clean for e in kept] == [e.clean for e, fine in zip(every, right, strict=True) if fine]
    assert f"{len(right) - sum(right)} of 24 prompts left out, as declared" in kept.facts[-1]
    both = sources.data(spec.model_copy(update={"exclude": ("wrong", "wrong_counterfactual")}), model)
    assert {e.clean for e in both} <= {e.clean for e in kept} and len(both.facts) == len(kept.facts) + 1


def test_too_few_are_an_error(replica: Place) -> None:
    sources = default_sources()
    model = sources.model(ModelSpec(name=str(replica.model)))
    spec = DataSpec(task="ioi", split="test", n=24)
    wrong = sources.data(spec, model).filter(lambda e: False)
    with pytest.raises(StudyError, match="leaves 0 of 0 prompts"):
        without_excluded(wrong, spec, model)


def test_a_plan_without_a_rule_is_what_it_was_and_one_with_it_says_so() -> None:
    plain, ruled = parse_study(SHORT), with_rule("wrong")
    assert "exclude" not in content_of(plain)["data"]["test"]
    assert content_of(ruled)["data"]["test"]["exclude"] == ["wrong"]


def test_behaviour_is_not_judged_on_what_was_left() -> None:
    found = list(judged_on_what_was_left(with_rule("wrong")))
    assert {each.rule for each in found} == {"exclusion"} and all(each.level == "error" for each in found)
    assert not list(judged_on_what_was_left(parse_study(SHORT)))


def test_own_prompts_are_left_out_by_hand() -> None:
    with pytest.raises(ValueError, match="leave those prompts out of your own file"):
        DataSpec(file="own.jsonl", split="test", n=4, exclude=("wrong",))


def test_a_report_counts_them(replica: Place, tmp_path: Path) -> None:
    run_study(with_rule("wrong", replica.model), tmp_path)
    write_report(tmp_path)
    left = len(Pairs.from_jsonl(tmp_path / "prompts" / "test.jsonl"))
    assert 2 <= left < 6
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{6 - left} of 6 prompts left out, as declared" in " ".join(report.split())
