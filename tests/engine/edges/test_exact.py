"""Edges cut by the engine against networks written out by hand, and what must hold on every architecture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.reference import KINDS, by_hand
from torch import Tensor, nn

from assay.circuits.graph import Graph
from assay.core.errors import SiteError
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.slopes import Slopes
from assay.engine.edges.writes import own_writes
from assay.engine.model import Model, load
from assay.engine.reads import Reads
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

LENGTH = 9
EXACT = 1e-5
"""Relative to the largest logit: fp32 rounds at 6e-8, and sums of a few hundred terms are added in another order."""

SHARED = (
    "llama",
    "gpt2",
    "gpt_neox",
    "gptj",
    "gemma2",
    "gemma3_text",
    "mixtral",
    "qwen3",
    "cohere",
    "granite",
    "phi",
    "opt",
)
ALONE = ("olmo2", "phi3", "falcon", "qwen2_moe", "bloom", "stablelm")
"""Architectures in which a shared key can't be given to one query head, or that add another layout."""


@lru_cache(maxsize=1)
def built(name: str) -> tuple[Model, nn.Module]:
    native = zoo.build(name)[0]
    return load(native), native


def prompts(model: Model, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    most = (model.network.vocabulary or 0) - 1
    here = torch.randint(3, most, (2, LENGTH), generator=rng)
    there = here.clone()
    there[:, 2:6] = torch.randint(3, most, (2, 4), generator=rng)
    return here, there


def cut(model: Model, graph: Graph, mask: np.ndarray, *, here: Tensor, there: Tensor) -> Tensor:
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    return model.run(here.tolist(), sources={"other": there.tolist()}, edits=edges).logits


def off(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max() / right.abs().max())


@pytest.mark.parametrize("share", [0.97, 0.5, 0.03])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_any_circuit_is_what_is_written_out_by_hand(name: str, grouped: bool, share: float) -> None:
    model, native = built(name)
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    found = cut(model, graph, mask, here=here, there=there)
    hand = by_hand(name, native, grouped=grouped)
    for example in range(len(here)):
        _, other = hand.run(there[example], lambda sender, receiver: True)
        wanted, _ = hand.run(here[example], lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), other)
        assert off(found[example], wanted) < EXACT


@pytest.mark.parametrize("name", KINDS)
def test_the_hand_written_model_is_the_native_one(name: str) -> None:
    model, native = built(name)
    here, _ = prompts(model)
    wanted = by_hand(name, native, grouped=False).run(here[0], lambda s, r: True)[0]
    assert off(model.run(here.tolist()).logits[0], wanted) < EXACT


@pytest.mark.parametrize("kind", [*((name, False) for name in SHARED), *((name, True) for name in (*SHARED, *ALONE))])
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(kind: tuple[str, bool]) -> None:
    name, grouped = kind
    model, _ = built(name)
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    assert off(plain, other) > 0.01
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT


@pytest.mark.parametrize(
    ("name", "why"),
    [("olmo2", "its code does not take them"), ("phi3", "part of a projection"), ("falcon", "transformers' interface")],
)
def test_shared_keys_that_cannot_be_parted_say_so(name: str, why: str) -> None:
    model, _ = built(name)
    graph, (here, there) = Graph.of(model), prompts(model)
    with pytest.raises(SiteError, match=f"{why}.*grouped=True"):
        cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there)


def test_an_edge_is_felt_only_where_it_leads() -> None:
    """Only what one head reads changes: its query, and nothing of the other heads', of this layer's keys, or before."""
    model, _ = built("llama")
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed.copy()
    mask[graph.index("L0.mlp->L1.H2.q")] = False
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    sites = ["L0.z", "L1.resid_pre", "L1.q", "L1.k", "L1.v", "L1.z"]
    plain = model.run(here.tolist(), capture=sites)
    changed = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    for site in ("L0.z", "L1.resid_pre", "L1.k", "L1.v"):
        assert torch.equal(plain[site], changed[site])
    heads = [h for h in range(4) if not torch.equal(plain["L1.q"][:, :, h], changed["L1.q"][:, :, h])]
    assert heads == [2]
    mixed = [h for h in range(4) if not torch.equal(plain["L1.z"][:, :, h], changed["L1.z"][:, :, h])]
    assert mixed == [2]


def test_many_circuits_unembed_what_their_metrics_read() -> None:
    """Forwards, and in slopes backwards: the same numbers as from all logits (fp32, another kernel for fewer rows)."""
    model, _ = built("llama")
    network, graph, (here, there) = model.network, Graph.of(model, grouped=True), prompts(model)
    inputs = {"here": here.tolist(), "there": there.tolist()}
    runs = {"main": Run(input="here"), "other": Run(input="there")}
    experiment = Experiment(inputs=inputs, runs=runs, main="main", metrics=[metric.logit_diff(7, 8)])
    kept = torch.tensor(graph.allowed[None] & (np.random.default_rng(0).random((3, *graph.allowed.shape)) < 0.5))

    def made(whole: bool) -> tuple[ManyCircuits, np.ndarray, Tensor]:
        many = ManyCircuits.of(network, experiment, senders=graph.senders, receivers=graph.receivers, source="other")
        if whole:
            many.__dict__["reads"] = Reads()
        found = many.measure(kept.float())["logit_diff"]
        runner = next(many.runners())
        slopes = Slopes(many, runner, own_writes(many, runner))
        slopes.add(1, {})
        return many, found, slopes.scores()

    (one, some, here_), (other, every, there_) = made(False), made(True)
    np.testing.assert_allclose(some, every, atol=EXACT * np.abs(every).max())
    assert off(here_, there_) < EXACT
    rows = 3 * len(here) + 2 * len(here)  # circuits; the plain run, and the one that is followed
    of_two = 2 / network.vocabulary  # the two tokens of the metric
    assert one.prepared.tally.unread == pytest.approx(rows * (LENGTH - of_two))
    assert other.prepared.tally.unread == 0
    assert one.cost(0).flops < other.cost(0).flops
