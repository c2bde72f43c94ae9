"""Every problem that can be known before anything runs, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assay.core.errors import AssayError, ExperimentError, InputError, ShapeError, SiteError
from assay.experiments import capture, edit, metric
from assay.experiments.check import check, problems
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Texts, as_input
from assay.experiments.metrics import Metric
from assay.experiments.positions import Slice
from assay.experiments.runs import Run
from assay.experiments.sweep import sweep

INPUTS: dict[str, Any] = {
    "clean": Texts(texts=("a b c d e", "f g h i j"), positions={"subject": (1, 3)}),
    "other": ["a b x d e", "f g y i j"],
    "short": ["a b", "f g"],
    "ragged": ["a b c", "a b c d e"],
    "one": "a b x d e",
    "three": ["a b c d e"] * 3,
}


def made(*edits: Edit, metrics: Any = (), captures: Any = (), run: str = "clean", **inputs: Any) -> Experiment:
    runs = {"main": Run(input=run, edits=edits, captures=captures)}
    return Experiment(inputs=INPUTS | inputs, runs=runs, metrics=metrics)


def complaint(experiment: Experiment, facts: Any, kind: type[AssayError] = ExperimentError, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        check(experiment, facts(experiment, **more))
    assert type(caught.value) is kind
    return str(caught.value)


GOOD = [
    edit.zero("resid_post"),
    edit.zero("L1.z", head=[0, -1], pos=["subject", "end"], dims=slice(0, 2), examples=[0, -1]),
    edit.zero("k", head=1),
    edit.set("L0.z", torch.ones(2), head=3),
    edit.set("L0.z", torch.ones(4, 2)),
    edit.set("L0.z", torch.ones(2, 5, 4, 2)),
    edit.set("L0.z", torch.ones(2, 4, 2), pos=-1),
    edit.set("L0.resid_post", torch.ones(3), dims=[1, 5, 7]),
    edit.set("L0.pattern", torch.ones(5, 5)),
    edit.set("L0.pattern", torch.ones(2, 5), head=0, pos=2),
    edit.add("logits", torch.ones(100)),
    edit.add("resid_post", torch.ones(1)),
    edit.project_out("resid_post", torch.ones(3, 8)),
    edit.swap("resid_post", "other", basis=torch.eye(8)[:, :2]),
    edit.swap("z", "other", basis=torch.eye(2), head=1),
    edit.patch("resid_post", "one"),
    edit.patch("resid_post", "other", pos=Slice(start=1)),
    edit.patch("resid_post", "short", pos=-1),
    edit.patch("resid_post", "short", pos=[3, 4], source_pos=[0, 1]),
    edit.patch("resid_post", "other", pos="subject"),
    edit.patch("L1.resid_post", "other", source_site="L0.mlp_out"),
    edit.mean("resid_post", over="ragged"),
    edit.mean("resid_post", over="other", per_position=True),
    edit.resample("resid_post", "other"),
    edit.freeze("z", "clean"),
]


@pytest.mark.parametrize("good", GOOD, ids=str)
def test_what_is_right_passes(good: Edit, facts: Any) -> None:
    experiment = made(good)
    assert problems(experiment, facts(experiment)) == []


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (edit.zero("L7.resid_post"), SiteError, "zero L7.resid_post: 'L7.resid_post' is not in this model"),
        (edit.zero("embed"), SiteError, "zero embed: 'embed' is not in this model."),
        (
            edit.zero("L0.mlp_norm_scale"),
            SiteError,
            "zero L0.mlp_norm_scale: 'L0.mlp_norm_scale' can be read and not changed in this model. Choose a writable",
        ),
        (
            edit.zero("resid_post", pos=5),
            InputError,
            "zero resid_post pos=5: position 5 is out of range for prompt 0, which has 5 tokens: expected -5 … 4.",
        ),
        (edit.zero("resid_post", pos=Slice(start=9)), InputError, "pos=9: selects nothing in prompt 0"),
        (
            edit.zero("resid_post", pos="subjct"),
            InputError,
            "'subjct' is not a named position of this input: it has end, subject. Nearest: subject.",
        ),
        (
            edit.zero("resid_post", head=0),
            ExperimentError,
            "zero resid_post head=0: head=0 at a site without heads: its axes are [batch, pos, d_model 8]. Leave head=",
        ),
        (edit.zero("L0.z", head=4), InputError, "head 4 is out of range for an axis of 4: expected -4 … 3."),
        (edit.zero("L0.k", head=2), InputError, "kv_head 2 is out of range for an axis of 2"),
        (edit.zero("resid_post", dims=[7, 8]), InputError, "d_model 8 is out of range for an axis of 8"),
        (edit.zero("resid_post", examples=2), InputError, "example 2 is out of range for an axis of 2"),
        (
            edit.set("L0.resid_post", torch.ones(9)),
            ShapeError,
            "set L0.resid_post: the value has shape [9], which does not broadcast to the selected part "
            "[example 2, pos 5, d_model 8]. Expected, for example, [8].",
        ),
        (
            edit.set("L0.z", torch.ones(4, 2), head=1),
            ShapeError,
            "does not broadcast to the selected part [example 2, pos 5, head 1, d_head 2]",
        ),
        (
            edit.set("L0.resid_post", torch.ones(3, 8), pos=[0, 1]),
            ShapeError,
            "selected part [example 2, pos 2, d_model 8]",
        ),
        (edit.add("L0.pattern", torch.ones(4)), ShapeError, "selected part [example 2, head 4, query 5, key 5]"),
        (
            edit.project_out("resid_post", torch.ones(8, 3)),
            ShapeError,
            "the directions have shape [8, 3], and the selected part has d_model 8. Expected [k, 8] or [8].",
        ),
        (
            edit.swap("resid_post", "other", basis=torch.ones(6, 2)),
            ShapeError,
            "the basis has shape [6, 2], and the selected part has d_model 8. Expected [8, k] or [8].",
        ),
        (
            edit.patch("resid_post", "three"),
            InputError,
            "patch resid_post from three: 'clean' has 2 examples and 'three' 3. Expected as many in both, or one.",
        ),
        (
            edit.patch("resid_post", "short", pos=2),
            InputError,
            "in 'short', position 2 is out of range for prompt 0, which has 2 tokens: expected -2 … 1.",
        ),
        (
            edit.patch("resid_post", "short", pos=[0, 1], source_pos=0),
            InputError,
            "pos selects 2 positions of example 0 and source_pos 1: expected as many.",
        ),
        (
            edit.patch("resid_post", "other", source_site="embed"),
            SiteError,
            "patch resid_post from other: 'embed' is not in this model.",
        ),
        (
            edit.patch("L0.resid_post", "other", source_site="L0.z"),
            ShapeError,
            "the source site 'L0.z' is [batch, pos, head 4, d_head 2], the target [batch, pos, d_model 8]. Expected the",
        ),
        (
            edit.mean("resid_post", over="ragged", per_position=True),
            InputError,
            "a mean for each position needs prompts of one length, and these have 3 or 5 tokens. Use per_position=False",
        ),
        (
            edit.resample("resid_post", "one"),
            InputError,
            "'one' has a single example with 5 tokens, so there is no other one to draw. Give at least two of each",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_edit_is_said(wrong: Edit, kind: type[AssayError], message: str, facts: Any) -> None:
    assert message in complaint(made(wrong), facts, kind)


def test_prompts_that_do_not_line_up_are_shown_with_the_place_where_they_part(facts: Any) -> None:
    inputs = {"clean": "The big cat sat", "other": "The cat sat"}
    experiment = Experiment(inputs=inputs, runs={"main": Run(input="clean", edits=edit.patch("resid_post", "other"))})
    assert complaint(experiment, facts, InputError) == (
        "patch resid_post from other: the prompts must line up token by token, and example 0 has 4 tokens in 'clean' "
        "and 3 in 'other': they part at token 1: ' big' and ' cat'. Change the prompts, or choose positions by index or name "
        "(pos='subject').\n"
        "  clean: |The| big| cat| sat|\n"
        "  other: |The| cat| sat|\n"
        "              ^ token 1"
    )


def test_a_sweep_over_all_positions_needs_prompts_that_line_up(facts: Any) -> None:
    experiment = sweep(
        edit.patch("resid_post", "other"), ["layer", "pos"],
        inputs={"clean": "a b c d", "other": "a b d"}, base="clean", metrics=[metric.entropy()],
    )  # fmt: skip
    assert "they part at token 2: ' c' and ' d'" in complaint(experiment, facts, InputError)


def test_a_ragged_input_is_checked_example_by_example(facts: Any) -> None:
    assert "prompt 0, which has 3 tokens" in complaint(
        made(edit.zero("resid_post", pos=4), run="ragged", ragged=as_input(["a b c", "a b c d e"], positions={"x": [0, 0]})),
        facts, InputError,
    )  # fmt: skip
    fine = made(edit.zero("resid_post", pos=4, examples=1), run="ragged")
    check(fine, facts(fine))


def test_a_named_position_outside_its_prompt_is_told(facts: Any) -> None:
    given = Texts(texts=("a b c", "a b c d"), positions={"subject": (2, -5)})
    assert complaint(made(clean=given), facts, InputError) == (
        "the input 'clean': its position 'subject' is -5 in example 1, which has 4 tokens: expected -4 … 3."
    )


def answers(of: Metric, facts: Any, kind: type[AssayError] = ExperimentError, **more: Any) -> str:
    return complaint(made(metrics=[of]), facts, kind, **more)


@pytest.mark.parametrize("make", [metric.logit, metric.rank, metric.accuracy])
def test_an_answer_of_several_tokens_is_shown_split(make: Any, facts: Any) -> None:
    name = make("x").kind
    assert answers(make("New York City"), facts) == (
        f"the metric {name!r} needs a single token, and 'New York City' is 3: 'New' | ' York' | ' City'. Choose another "
        "answer (most words begin with a space), or use metric.logprob, which takes several tokens."
    )


def test_several_tokens_are_fine_where_they_are_scored_one_by_one(facts: Any) -> None:
    for of in (metric.logprob("New York"), metric.prob([[1, 2], [3]]), metric.logprob(["a b", "c"])):
        check(made(metrics=[of]), facts(made(metrics=[of])))


@pytest.mark.parametrize(
    ("of", "kind", "message"),
    [
        (metric.logit_diff("x", [["a", "b"], ["c", "d"]]), ExperimentError, "mixes text into token ids"),
        (metric.logit_diff([["a", "b"]], "x"), ExperimentError, "mixes text into token ids"),
        (
            metric.logit([5, 6, 7]),
            InputError,
            "3 answer entries for 2 examples: expected one for each, or a single one",
        ),
        (metric.logit(100), ExperimentError, "the token id 100 is not one of this model's 0-99"),
        (metric.logit([[3, 4], [5, 6]]), ExperimentError, "needs a single token, and [3, 4] is 2: '3' | '4'"),
        (metric.entropy(pos=7), InputError, "the metric 'entropy': position 7 is out of range"),
        (metric.entropy(pos="sbject"), InputError, "Nearest: subject."),
        (metric.norm("L0.z", head=4), InputError, "head 4 is out of range for an axis of 4"),
        (metric.norm("L9.z"), SiteError, "the metric 'norm': 'L9.z' is not in this model"),
        (
            metric.norm("resid_post"),
            SiteError,
            "the metric 'norm' is read at one site, and 'resid_post' names no layer: give one, 'L0.resid_post'.",
        ),
        (
            metric.dot("L0.resid_post", torch.ones(9)),
            ShapeError,
            "the direction has 9 entries, and the site is [batch, pos, d_model 8]. Expected [8].",
        ),
        (metric.kl("three"), InputError, "'clean' has 2 examples and 'three' 3"),
        (metric.kl("short", pos=None), InputError, "the prompts must line up token by token"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_metric_is_said(of: Metric, kind: type[AssayError], message: str, facts: Any) -> None:
    assert message in answers(of, facts, kind)


def test_alternatives_of_an_accuracy_are_single_tokens_each(facts: Any) -> None:
    fine = made(metrics=[metric.accuracy("x", [["a", "b"], ["c"]])])
    check(fine, facts(fine))
    assert "'a b' is 2" in answers(metric.accuracy("x", [["a b", "c"], ["d"]]), facts)


def test_answers_of_an_input_are_checked_too(facts: Any) -> None:
    given = Texts(texts=("a b",), answers="New York")
    assert "'New York' is 2" in complaint(made(metrics=[metric.logit()], clean=given), facts)


def test_text_answers_need_a_tokenizer_and_loss_needs_tokens(facts: Any) -> None:
    assert "no tokenizer" in answers(metric.logit("x"), facts, InputError, tokenizer=False)
    assert "needs the token ids of one sequence, which the input 'clean' does not give" in answers(
        metric.loss(), facts, untokenised=("clean",)
    )


@pytest.mark.parametrize(
    ("kept", "kind", "message"),
    [
        ("L9.resid_post", SiteError, "the capture 'L9.resid_post': 'L9.resid_post' is not in this model"),
        (capture.site("resid_post", head=0), ExperimentError, "head=0 at a site without heads"),
        (capture.site("z", pos=8), InputError, "the capture 'z': position 8 is out of range"),
        (capture.grad("z", of=metric.logit("a b")), ExperimentError, "'a b' is 2"),
        (capture.grad("L9.z", of=metric.logit("a")), SiteError, "the capture 'grad.L9.z'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_capture_is_said(kept: Any, kind: type[AssayError], message: str, facts: Any) -> None:
    assert message in complaint(made(captures=[kept]), facts, kind)


def test_several_problems_are_listed_together(facts: Any) -> None:
    experiment = made(
        edit.zero("L7.resid_post"), edit.zero("resid_post", pos=9), metrics=[metric.logit("a b"), metric.logit("a b", name="m")]
    )  # fmt: skip
    lines = complaint(experiment, facts).splitlines()
    assert lines[0] == "4 problems:"
    assert len(lines) == 5 and all(line.startswith("- ") for line in lines[1:])


def test_a_long_list_is_cut(facts: Any) -> None:
    experiment = made(*(edit.zero("resid_post", pos=i) for i in range(10, 40)))
    lines = complaint(experiment, facts, InputError).splitlines()
    assert lines[0] == "30 problems:" and lines[-1] == "- … and 22 more" and len(lines) == 10


def test_a_mistake_in_a_sweep_is_told_for_each_value(facts: Any) -> None:
    experiment = sweep(
        edit.set("resid_post", torch.ones(9)), {"layer": None, "pos": [0, 1, 2]},
        inputs=INPUTS, base="clean", metrics=[metric.entropy()],
    )  # fmt: skip
    found = problems(experiment, facts(experiment))
    assert {str(each).partition(":")[0] for each in found} == {f"set resid_post pos={i}" for i in range(3)}
    assert all(isinstance(each, ShapeError) for each in found)


def test_only_the_layers_that_a_sweep_names_matter(facts: Any) -> None:
    wide = torch.ones(8, 2)
    for layers, right in (([0], False), ([1], True)):
        experiment = sweep(
            edit.set("z", wide), {"layer": layers}, inputs=INPUTS, base="clean", metrics=[metric.entropy()]
        )
        assert (problems(experiment, facts(experiment, wider=(1,))) == []) is right


def test_values_of_a_swept_axis_are_checked(facts: Any) -> None:
    for over, message in (
        ({"pos": [0, 5]}, "position 5 is out of range"),
        ({"pos": ["subject", "sub"]}, "'sub' is not a named position"),
        ({"examples": [0, 2]}, "example 2 is out of range"),
        ({"dims": [7, 8]}, "d_model 8 is out of range"),
        ({"layer": [0, 3]}, "the sweep asks for layer 3 of 'resid_post': its layers are 0-2."),
    ):
        experiment = sweep(edit.zero("resid_post"), over, inputs=INPUTS, base="clean", metrics=[metric.entropy()])
        with pytest.raises(AssayError) as caught:
            check(experiment, facts(experiment))
        assert message in str(caught.value)


def test_the_cost_does_not_grow_with_the_number_of_variants(facts: Any) -> None:
    """A sweep of thousands of variants is looked at along its axes, not variant by variant."""
    calls = []

    class Counting(facts):  # type: ignore[misc]
        def sites(self, name: str) -> Any:
            calls.append(name)
            return super().sites(name)

    for n in (2, 50):
        calls.clear()
        over = {
            "layer": None,
            "scale": [float(i) for i in range(1, n + 1)],
            "pos": list(range(5)),
            "dims": list(range(8)),
        }
        experiment = sweep(edit.add("resid_post", [1.0]), over, inputs=INPUTS, base="clean", metrics=[metric.entropy()])
        check(experiment, Counting(experiment))
        assert len(calls) <= 2 * (n + 5 + 8) + 10
