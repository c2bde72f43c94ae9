"""Prompts left out by a declared rule: the right ones, counted, and never where behaviour itself is judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.studies.replicas import SHORT, Place
from transformers import LlamaForCausalLM

from assay.core.errors import StudyError
from assay.data import task
from assay.data.pairs import Pairs
from assay.studies.bundle import write_bundle
from assay.studies.exclusions import without_excluded
from assay.studies.lint import check_study
from assay.studies.lint.selection import judged_on_what_was_left
from assay.studies.plan import content_of
from assay.studies.read import parse_study, read_study
from assay.studies.report import write_report
from assay.studies.run import default_sources, run_study
from assay.studies.schema import DataSpec, ModelSpec, Study
from assay.studies.verify import Wanted, verify_bundle


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
    with pytest.raises(StudyError, match="leaves 0 of 0 of the task ioi's prompts"):
        without_excluded(wrong, spec, model)


def test_a_plan_without_a_rule_is_what_it_was_and_one_with_it_says_so() -> None:
    plain, ruled = parse_study(SHORT), with_rule("wrong")
    assert "exclude" not in content_of(plain)["data"]["test"]
    assert content_of(ruled)["data"]["test"]["exclude"] == ["wrong"]


def test_behaviour_is_not_judged_on_what_was_left() -> None:
    found = list(judged_on_what_was_left(with_rule("wrong")))
    assert {each.rule for each in found} == {"exclusion"} and all(each.level == "error" for each in found)
    assert not list(judged_on_what_was_left(parse_study(SHORT)))


@pytest.fixture
def own(replica: Place, tmp_path: Path) -> Study:
    """A study of 24 prompts of its own, of which those that the model gets wrong are left out."""
    task("ioi", n=24, split="test").to_jsonl(tmp_path / "ours.jsonl")
    text = SHORT.replace("{task: ioi, split: test, n: 6}", "{file: ours.jsonl, split: test, n: 24, exclude: [wrong]}")
    (tmp_path / "study.yaml").write_text(text)
    return read_study(tmp_path / "study.yaml").model_copy(update={"model": ModelSpec(name=str(replica.model))})


def test_own_prompts_are_left_out_as_a_tasks_are(own: Study, replica: Place, tmp_path: Path) -> None:
    sources = default_sources()
    model = sources.model(own.model)
    same = sources.data(DataSpec(task="ioi", split="test", n=24, exclude=("wrong",)), model)
    kept = sources.data(own.data["test"], model)
    assert kept.examples == same.examples and len(kept) < 24
    assert kept.facts[-1] == same.facts[-1]


def test_all_of_them_are_kept_for_another_model_and_in_the_bundle(own: Study, replica: Place, tmp_path: Path) -> None:
    """The run folder's study runs again without the first file, and another model leaves out its own."""
    first = run_study(own, tmp_path / "run")
    (tmp_path / "ours.jsonl").unlink()
    left, every = (Pairs.from_jsonl(tmp_path / "run" / "prompts" / f"test{tail}.jsonl") for tail in ("", ".all"))
    assert len(every) == 24 and 2 <= len(left) < 24
    again = read_study(tmp_path / "run" / "study.yaml").model_copy(update={"model": own.model})
    assert run_study(again, tmp_path / "again").plan.hash == first.plan.hash

    write_report(tmp_path / "run")
    bundle = write_bundle(tmp_path / "run", tmp_path / "ours.zip")
    found = verify_bundle(bundle, Wanted(model=str(replica.model)))
    assert (found.outcome, found.problems, found.notes, found.differing) == ("holds", (), (), ())

    other = LlamaForCausalLM.from_pretrained(replica.model)
    torch.manual_seed(5)
    other.lm_head.weight.data.normal_(0, 0.2)
    shutil.copytree(replica.model, tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    there = verify_bundle(bundle, Wanted(model=str(tmp_path / "other"), another_model=True), folder=tmp_path / "there")
    assert there.ran and there.another_model
    others = Pairs.from_jsonl(tmp_path / "there" / "prompts" / "test.jsonl")
    assert {e.clean for e in others} != {e.clean for e in left}, "another model gets others wrong"
    assert Pairs.from_jsonl(tmp_path / "there" / "prompts" / "test.all.jsonl").examples == every.examples


def test_prompts_without_answers_are_refused_before_the_run(own: Study, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "ours.jsonl").read_text().splitlines()]
    del rows[3]["wrong"]  # the first line is a header
    (tmp_path / "ours.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(StudyError, match=r"of the study's own prompts asks .* example 2 has no `wrong`"):
        check_study(own)


def test_a_report_counts_them(replica: Place, tmp_path: Path) -> None:
    run_study(with_rule("wrong", replica.model), tmp_path)
    write_report(tmp_path)
    left = len(Pairs.from_jsonl(tmp_path / "prompts" / "test.jsonl"))
    assert 2 <= left < 6
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{6 - left} of 6 prompts left out, as declared" in " ".join(report.split())
