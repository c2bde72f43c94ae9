"""Every metric against the same number computed by hand from native logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine import by_hand
from torch import Tensor

from assay import Experiment, Run, edit, metric
from assay.core.errors import AssayError, ExperimentError
from assay.engine.model import Model, load
from assay.experiments.inputs import as_input

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18], [21, 22, 23, 24, 25]]
VECTOR = torch.linspace(-1, 2, 32).double()


def one(model: Model, made: object, **more: object) -> Tensor:
    return next(iter(model.run(IDS, metrics=made, **more).metrics.values()))  # type: ignore[arg-type]


def logits(model: Model) -> Tensor:
    return by_hand.run(model.native, IDS)[0]


def test_logits_and_their_difference(llama: Model) -> None:
    last = logits(llama)[:, -1]
    by_hand.close(one(llama, metric.logit(4)), last[:, 4])
    by_hand.close(one(llama, metric.logit([4, 9, 2])), last[[0, 1, 2], [4, 9, 2]])
    by_hand.close(one(llama, metric.logit_diff([4, 9, 2], 7)), last[[0, 1, 2], [4, 9, 2]] - last[:, 7])


def test_probability_of_one_token(llama: Model) -> None:
    log = logits(llama).log_softmax(-1)
    by_hand.close(one(llama, metric.logprob(4)), log[:, -1, 4])
    by_hand.close(one(llama, metric.prob(4, pos=1)), log[:, 1, 4].exp())
    by_hand.close(one(llama, metric.logprob(4, pos=None)), log[:, :, 4])


def test_several_tokens_are_scored_each_given_those_before(llama: Model) -> None:
    answers = [[4, 9], [8], [3, 3, 5]]
    wanted = torch.zeros(3, dtype=torch.float64)
    for row, answer in enumerate(answers):
        for k, token in enumerate(answer):
            seen = [IDS[row] + answer[:k]]
            wanted[row] += by_hand.run(llama.native, seen)[0][0, -1].log_softmax(-1)[token]
    by_hand.close(one(llama, metric.logprob(answers)), wanted)
    by_hand.close(one(llama, metric.prob(answers)), wanted.exp())


def test_several_tokens_under_an_edit_everywhere_and_in_the_prompt(llama: Model) -> None:
    """Without `pos` an edit acts on the answer's tokens too; with one, and from a source, in the prompt alone."""
    longer, zeros = [[*ids, 4] for ids in IDS], [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [9, 8, 7, 6, 5]]
    site = "L1.mlp_out"
    there = by_hand.run(llama.native, zeros, keep=[site])[1][site]
    changes = [
        (edit.scale(site, 2.0), lambda x: 2 * x),
        (edit.scale(site, 2.0, pos=slice(0, None)), lambda x: torch.cat([2 * x[:, :5], x[:, 5:]], 1)),
        (edit.patch(site, "zeros"), lambda x: torch.cat([there, x[:, 5:]], 1)),
        (edit.mean(site, "zeros", per_position=True), lambda x: torch.cat([0 * there + there.mean(0), x[:, 5:]], 1)),
    ]
    for made, change in changes:
        log = by_hand.run(llama.native, longer, {site: change})[0].log_softmax(-1)
        found = one(llama, metric.logprob([[4, 9]] * 3), edits=made, sources={"zeros": zeros})
        by_hand.close(found, log[:, -2, 4] + log[:, -1, 9])


def test_text_answers_are_literal(smol: Model) -> None:
    text = "The capital of France is"
    run = smol.run(text, metrics=[metric.logprob(" Paris"), metric.logprob(" Paris, and"), metric.rank(" Paris")])
    tokenizer = smol.tokenizer
    assert tokenizer is not None
    prompt, answer = (tokenizer(t)["input_ids"] for t in (text, " Paris, and"))
    with torch.no_grad():
        log = smol.native(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    each = log[torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1), answer]
    assert len(answer) == 3
    assert run.metrics["logprob"].item() == pytest.approx(each[0].item(), abs=1e-4)  # float32 logits near 20
    assert run.metrics["logprob_2"].item() == pytest.approx(each.sum().item(), abs=1e-4)
    assert run.metrics["rank"].item() == 0


def test_rank_counts_tokens_above(llama: Model) -> None:
    last = logits(llama)[:, -1]
    assert one(llama, metric.rank(4)).tolist() == (last > last[:, 4:5]).sum(-1).tolist()
    best = last.argmax(-1).tolist()
    assert one(llama, metric.rank(best)).tolist() == [0, 0, 0]


def test_accuracy(llama: Model) -> None:
    last = logits(llama)[:, -1]
    best = last.argmax(-1).tolist()
    assert one(llama, metric.accuracy(best)).tolist() == [1, 1, 1]
    assert one(llama, metric.accuracy([best[0], 4, best[2]], 4)).tolist() == [1, 0, 1]
    order = last.argsort(-1, descending=True)
    second, others = order[:, 1].tolist(), [[int(o[0]), int(o[2])] for o in order]
    assert one(llama, metric.accuracy(second)).tolist() == [0, 0, 0]
    assert one(llama, metric.accuracy(second, others)).tolist() == [0, 0, 0]
    assert one(llama, metric.accuracy(second, [[int(o[2]), int(o[5])] for o in order])).tolist() == [1, 1, 1]


@pytest.mark.parametrize("pos", [-1, None, [0, 2]])
def test_kl_in_both_directions(llama: Model, pos: object) -> None:
    there, here = (by_hand.run(llama.native, IDS, c)[0] for c in ({}, {"L1.mlp_out": torch.zeros_like}))
    p, q = there.log_softmax(-1), here.log_softmax(-1)
    index = slice(None) if pos is None else pos
    forward = (p.exp() * (p - q)).sum(-1)[:, index]  # type: ignore[index]
    backward = (q.exp() * (q - p)).sum(-1)[:, index]  # type: ignore[index]
    made = edit.zero("L1.mlp_out")
    by_hand.close(one(llama, metric.kl("input", pos=pos), edits=made), forward)  # type: ignore[arg-type]
    by_hand.close(one(llama, metric.reverse_kl("input", pos=pos), edits=made), backward)  # type: ignore[arg-type]


def test_loss_is_cross_entropy_of_the_next_token(llama: Model) -> None:
    wanted = torch.nn.functional.cross_entropy(
        logits(llama)[:, :-1].transpose(1, 2), torch.tensor(IDS)[:, 1:], reduction="none"
    )
    by_hand.close(one(llama, metric.loss()), wanted)
    by_hand.close(one(llama, metric.loss(reduce="mean")), wanted.mean(1))
    by_hand.close(one(llama, metric.loss(pos=2)), wanted[:, 2])
    with pytest.raises(AssayError):
        one(llama, metric.loss(pos=-1))


def test_entropy(llama: Model) -> None:
    log = logits(llama).log_softmax(-1)
    by_hand.close(one(llama, metric.entropy()), -(log.exp() * log).sum(-1)[:, -1])


def test_numbers_at_a_site(llama: Model) -> None:
    _, kept = by_hand.run(llama.native, IDS, keep=["L1.resid_post", "L1.z"])
    there, z = kept["L1.resid_post"], kept["L1.z"]
    by_hand.close(one(llama, metric.dot("L1.resid_post", VECTOR)), there[:, -1] @ VECTOR)
    by_hand.close(one(llama, metric.norm("L1.resid_post", pos=None)), there.norm(dim=-1))
    cosine = (there[:, 1] @ VECTOR) / there[:, 1].norm(dim=-1) / VECTOR.norm()
    by_hand.close(one(llama, metric.cosine("L1.resid_post", VECTOR, pos=1)), cosine)
    by_hand.close(one(llama, metric.norm("L1.z", head=2)), z[:, -1, 2].norm(dim=-1))
    by_hand.close(one(llama, metric.norm("L1.z")), z[:, -1].norm(dim=-1))
    by_hand.close(one(llama, metric.dot("L1.z", VECTOR[:8], head=-1, pos=[0, 1])), z[:, :2, -1] @ VECTOR[:8])


def test_pattern_is_read_at_queries(llama: Model) -> None:
    pattern = llama.run(IDS, capture=["L1.pattern"])["L1.pattern"].double()
    direction = torch.eye(5)[1]  # how much is looked at token 1
    by_hand.close(one(llama, metric.dot("L1.pattern", direction, head=3, pos=2)), pattern[:, 3, 2, 1])


def test_a_function_of_the_run(llama: Model) -> None:
    found = one(llama, metric.call(lambda run: run.output[:, -1].max(-1).values))
    by_hand.close(found, logits(llama)[:, -1].max(-1).values)


@pytest.mark.parametrize("how", ["mean", "sum", "min", "max"])
def test_reductions_over_positions_and_examples(llama: Model, how: str) -> None:
    experiment = Experiment(
        inputs={"a": IDS},
        metrics=[
            metric.logit(4, pos=None, reduce=how, name="over positions"),  # type: ignore[arg-type]
            metric.logit(4, pos=None, reduce_examples=how, name="over examples"),  # type: ignore[arg-type]
            metric.logit(4, pos=[1, 2], reduce=how, reduce_examples=how, name="over both"),  # type: ignore[arg-type]
        ],
    )
    result, values = llama.measure(experiment), logits(llama)[..., 4].numpy()
    reduce = getattr(np, how)
    np.testing.assert_allclose(result["over positions"].values, reduce(values, 1), atol=2e-6)
    np.testing.assert_allclose(result["over examples"].values, reduce(values, 0), atol=2e-6)
    np.testing.assert_allclose(result["over both"].values, reduce(reduce(values[:, 1:3], 1), 0), atol=2e-6)
    assert result["over positions"].dims == ("example",)
    assert result["over examples"].dims == ("pos",)
    assert result["over both"].dims == ()


def test_what_is_left_of_the_axes_is_named(llama: Model) -> None:
    experiment = Experiment(
        inputs={"a": IDS, "b": IDS[0]},
        metrics=[
            metric.norm("L0.z", name="by head"),
            metric.norm("L0.z", pos=None, name="pos head"),
            metric.norm("L0.z", head=1, name="none"),
            metric.norm("L0.k", name="kv"),
            metric.logit(4, pos=[1, 2], run="b", name="single"),
            metric.entropy(run="b", name="single last"),
        ],
        main="a",
    )
    result = llama.measure(experiment)
    assert result["by head"].dims == ("example", "head")
    assert result["pos head"].dims == ("example", "pos", "head")
    assert result["none"].dims == ("example",)
    assert result["kv"].dims == ("example", "kv_head")
    assert result["single"].dims == ("pos_single",)  # two positions, where `pos` has five
    assert result["single last"].dims == ()


def test_answers_that_the_input_brings(llama: Model) -> None:
    given = as_input(IDS, answers=[4, 9, 2], wrong=7)
    last = logits(llama)[:, -1]
    found = llama.run(given, metrics=[metric.logit_diff(), metric.logit(8)])
    by_hand.close(found.metrics["logit_diff"], last[[0, 1, 2], [4, 9, 2]] - last[:, 7])
    by_hand.close(found.metrics["logit"], last[:, 8])
    with pytest.raises(AssayError, match=r"answer"):
        llama.run(IDS, metrics=metric.logit())


def test_positions_by_name_and_prompts_of_different_length(llama: Model) -> None:
    ragged = [[5, 7, 11], [6, 9, 12, 15, 18]]
    found = llama.run(ragged, metrics=[metric.logit(4, pos="subject"), metric.logit(4)], positions={"subject": [1, 3]})
    each = [by_hand.run(llama.native, [ids])[0][0, :, 4] for ids in ragged]
    by_hand.close(found.metrics["logit"], torch.stack([each[0][1], each[1][3]]))
    by_hand.close(found.metrics["logit_2"], torch.stack([each[0][-1], each[1][-1]]))


def test_metrics_of_another_run(llama: Model) -> None:
    experiment = Experiment(
        inputs={"a": IDS},
        runs={"main": Run(input="a", edits=[edit.zero("L1.mlp_out")])},
        metrics=[metric.logit(4), metric.logit(4, run="a", name="before")],
    )
    result = llama.measure(experiment)
    by_hand.close(torch.tensor(result["before"].values), logits(llama)[:, -1, 4])
    by_hand.close(
        torch.tensor(result["logit"].values),
        by_hand.run(llama.native, IDS, {"L1.mlp_out": torch.zeros_like})[0][:, -1, 4],
    )


def test_an_answer_of_several_tokens_shows_its_split(smol: Model) -> None:
    with pytest.raises(ExperimentError, match=r"is 3: ' tiger' \| 'sey' \| 'es'"):
        smol.run("I saw two", metrics=metric.logit(" tigerseyes"))


def test_numbers_are_finite_in_low_precision(llama: Model) -> None:
    assert math.isfinite(one(llama, metric.kl("input"), edits=edit.scale("L2.mlp_out", 50.0)).sum())


def test_a_classifier_has_no_logits_at_positions() -> None:
    native, inputs = zoo.build("ViTForImageClassification")
    model = load(native)
    with pytest.raises(ExperimentError, match="needs logits at positions, and this model returns none"):
        model.run(inputs, metrics=[metric.entropy()])
