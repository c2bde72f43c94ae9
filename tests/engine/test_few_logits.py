"""Only the logits of tokens that metrics name are computed, where nothing else of the output is read and that is safe."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import pytest
import torch
from tests.conformance import zoo
from tests.engine.schedule.test_schedule import agree, model_of, pair
from tests.tiny_pairs import tiny_llama
from torch import Tensor, nn

import assay
from assay import Experiment, Run, capture, edit, metric, sweep
from assay.engine.costs import Costs
from assay.engine.few_logits import few_logits, named_tokens
from assay.engine.passes import forward

NAMED = [
    metric.logit_diff(7, [8, 9, 10, 8]),
    metric.logit(11, pos=[0, 3], name="here"),
    metric.accuracy(12, wrong=[[13, 14]] * 4),
]
PATCH = edit.patch("mlp_out", source="corrupt")


def question(*metrics: Any, change: Any = PATCH) -> Experiment:
    return sweep(change, over=["layer"], inputs=pair(0, 3), base="clean", metrics=list(metrics or NAMED))


def unembedding(name: str) -> float:
    network = model_of(name).network
    return Costs(network, network.structure.main_chain).unembedding


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "gpt_neox", "gemma2", "qwen3", "opt", "phi", "olmo2", "mixtral", "mamba"]
)
def test_sweeps_compute_the_logits_of_named_tokens(name: str) -> None:
    """Counted in operations: eight of the vocabulary's tokens are named (Gemma 2 has a soft cap after its logits)."""
    change = edit.patch("resid_pre" if name == "mamba" else "mlp_out", source="corrupt")
    network, experiment = model_of(name).network, question(change=change)
    found = named_tokens(network, experiment)
    assert isinstance(found, Tensor) and found.tolist() == [7, 8, 9, 10, 11, 12, 13, 14]
    _, fast = agree(name, experiment)
    _, off = agree(name, experiment, without=["vocab"])
    left_out = (off.cost.flops - fast.cost.flops) / unembedding(name)
    share = 1 - len(found) / (network.vocabulary or 0)
    assert left_out > 0 and left_out / share == pytest.approx(round(left_out / share), abs=1e-6)


@pytest.mark.parametrize(
    "read",
    [
        metric.kl(to="clean"),
        metric.entropy(),
        metric.logprob(7),
        metric.accuracy(7),
        metric.rank(7),
        metric.loss(pos=None),
    ],
    ids=lambda m: m.kind,
)
def test_a_metric_that_reads_all_tokens_gets_all(read: Any) -> None:
    why = named_tokens(model_of("llama").network, question(NAMED[0], read))
    assert why == f"the metric {read.kind} reads all tokens"
    agree("llama", question(NAMED[0], read))


@pytest.mark.parametrize(
    "extra",
    [Run(input="clean", captures=["logits"]), Run(input="clean", edits=[edit.scale("logits", factor=2.0, dims=[7])])],
)
def test_logits_that_are_kept_or_changed_are_whole(extra: Run) -> None:
    experiment = Experiment(inputs=pair(0, 3), runs={"main": extra}, main="main", metrics=NAMED[:1])
    slow, fast = agree("llama", experiment)
    assert slow.cost.flops == fast.cost.flops


def test_runs_without_a_sweep_and_their_gradients_take_part() -> None:
    captures = [capture.grad("resid_post", of=metric.logit_diff(7, 8)), capture.grad("z", of=metric.logit(9, pos=2))]
    runs = {"main": Run(input="clean", captures=captures)}
    experiment = Experiment(inputs=pair(0, 3), runs=runs, main="main", metrics=NAMED[:1])
    _, fast = agree("llama", experiment)
    _, off = agree("llama", experiment, without=["vocab"])
    assert fast.cost.flops < off.cost.flops
    whole = capture.grad("q", of=metric.kl(to="other"))
    runs = {"main": Run(input="clean", captures=[*captures, whole]), "other": Run(input="corrupt")}
    agree("llama", experiment.model_copy(update={"runs": runs}))
    assert isinstance(named_tokens(model_of("llama").network, experiment.model_copy(update={"runs": runs})), str)


class Masked(nn.Linear):
    """An unembedding of its own kind."""


@pytest.mark.parametrize(
    "how", ["masks a token", "another kind of head", "a head with its own forward", "probabilities"]
)
def test_what_does_more_with_logits_is_left_whole(how: str) -> None:
    """Native code that treats some tokens apart, or all together, and heads that are not just a linear map."""
    native, _ = zoo.build("llama")
    native = native.double()
    head = native.lm_head
    if how == "masks a token":
        native.lm_head.register_forward_hook(lambda m, a, out: out.index_fill(-1, torch.tensor([2, 40]), -1e4))
    elif how == "another kind of head":
        native.lm_head = Masked(head.in_features, head.out_features, bias=False).double()
    elif how == "a head with its own forward":
        native.lm_head.forward = lambda x: 2 * nn.Linear.forward(head, x)
    else:
        native.lm_head.register_forward_hook(lambda m, a, out: out.softmax(-1))
    model = assay.load(native)
    why = named_tokens(model.network, question())
    assert isinstance(why, str) and ("tried" in why or "plain" in why)
    slow, fast = (model.measure(question(), engine=engine) for engine in ("naive", "scheduled"))
    for label in slow.data:
        torch.testing.assert_close(torch.tensor(fast[str(label)].values), torch.tensor(slow[str(label)].values))


def test_so_many_tokens_are_not_worth_it() -> None:
    vocabulary = model_of("llama").network.vocabulary
    assert vocabulary is not None and vocabulary < 40 * 4
    many = [metric.logit(token, name=f"t{token}") for token in range(40)]
    assert named_tokens(model_of("llama").network, question(*many)) == f"40 tokens are named, of {vocabulary}"


def test_other_threads_get_all_logits() -> None:
    """Hooks sit on the model itself, so a pass of another thread meets them."""
    network = tiny_llama().network
    ids = {"input_ids": torch.tensor([[5, 6, 7]])}
    whole = forward(network, ids).output
    ready, done, found = Event(), Event(), []

    def narrowed() -> None:
        with few_logits(network, torch.tensor([3, 4])):
            found.append(forward(network, ids).output)
            ready.set()
            done.wait(20)

    other = Thread(target=narrowed)
    other.start()
    assert ready.wait(20)
    again = forward(network, ids).output
    done.set()
    other.join()
    assert again is not None and whole is not None and torch.equal(again, whole)
    torch.testing.assert_close(found[0], whole[..., [3, 4]])
    assert not network.native.get_output_embeddings()._forward_hooks
