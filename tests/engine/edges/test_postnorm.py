"""Edges cut where the stream is normed after each sum, against networks written out by hand, in double precision."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.postnorm_reference import KINDS, PostNorm, by_hand
from tests.engine.edges.test_exact import cut, off, prompts
from torch import Tensor, nn

from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.core.edge_names import Receiver, Sender, parse_receiver, parse_sender
from assay.engine.edges.rewire import Rewire, cuts
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.engine.passes import forward
from assay.experiments import edit

EXACT = 1e-10
"""Relative to the largest logit, in double precision: sums are taken in another order, and norms of them follow."""
SINGLE = {"xlm": 1e-6}
"""Native code takes this softmax in single precision."""


@lru_cache(maxsize=4)
def built(name: str) -> tuple[Model, PostNorm | None]:
    native = zoo.build(name)[0].double()
    return load(native), by_hand(name, native) if name in KINDS else None


def mixed(graph: Graph, share: float | None) -> np.ndarray:
    """A circuit of so many of the edges; None: numbers between 0 and 1."""
    drawn = np.random.default_rng(0 if share is None else int(100 * share)).random(graph.allowed.shape)
    return graph.allowed * (drawn if share is None else drawn < share)


@pytest.mark.parametrize("share", [0.97, 0.5, 0.03, None])
@pytest.mark.parametrize("name", KINDS)
def test_any_circuit_is_what_is_written_out_by_hand(name: str, share: float | None) -> None:
    model, hand = built(name)
    assert hand is not None
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = mixed(graph, share)
    found = cut(model, graph, mask, here=here, there=there)
    for example in range(len(here)):
        _, other = hand.run(there[example], lambda sender, receiver: 1.0)
        wanted, _ = hand.run(here[example], lambda s, r: float(mask[graph.sender(s), graph.receiver(r)]), other)
        assert off(found[example], wanted) < SINGLE.get(name, EXACT)


@pytest.mark.parametrize("name", KINDS)
def test_the_hand_written_model_is_the_native_one(name: str) -> None:
    model, hand = built(name)
    assert hand is not None
    here, _ = prompts(model)
    assert off(model.run(here.tolist()).logits[0], hand.run(here[0], lambda s, r: 1.0)[0]) < SINGLE.get(name, EXACT)


@pytest.mark.parametrize("grouped", [False, "whole"])
@pytest.mark.parametrize("name", [*KINDS, "roberta", "roformer", "electra", "xlnet", "prophetnet"])
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str, grouped: bool | str) -> None:
    model, _ = built(name)
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)  # type: ignore[arg-type]
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    assert off(plain, other) > 0.01
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
    heads = name not in ("xlnet", "prophetnet")
    assert bool(graph.whole) == (grouped == "whole" or not heads) and bool(why_whole(model)) != heads


def test_an_edge_is_felt_only_where_it_leads() -> None:
    """A head's query alone: the stream and its norms stay, and so do keys and the other heads' queries."""
    model, _ = built("bert")
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed.copy()
    mask[graph.index("embed->L1.H2.q")] = False
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    sites = ["L0.z", "L0.resid_mid", "L1.resid_pre", "L1.q", "L1.k", "L1.v", "L1.z"]
    plain = model.run(here.tolist(), capture=sites)
    changed = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    for site in ("L0.z", "L0.resid_mid", "L1.resid_pre", "L1.k", "L1.v"):
        assert torch.equal(plain[site], changed[site])
    for site in ("L1.q", "L1.z"):
        heads = [h for h in range(4) if not torch.equal(plain[site][:, :, h], changed[site][:, :, h])]
        assert heads == [2]


def test_a_part_goes_through_the_norms_between() -> None:
    """By hand, on two layers: which norms lie on whose way."""
    norms = wiring(built("bert")[0].network).norms
    assert [norm.part.name for norm in norms] == ["L0.attn", "L0.mlp", "L1.attn", "L1.mlp"]

    def way(sender: Sender, receiver: Receiver) -> list[int]:
        return [i for i, norm in enumerate(norms) if norm.takes(sender) and norm.leads_to(receiver)]

    assert way(Sender(), Receiver(0, 1, "q")) == [] and way(Sender(), Receiver()) == [0, 1, 2, 3]
    assert way(Sender(), Receiver(0)) == way(Sender(0, 2), Receiver(0)) == [0]
    assert way(Sender(0, 2), Receiver(1, 0, "k")) == [0, 1] and way(Sender(0), Receiver(1, 0, "k")) == [1]
    assert way(Sender(0), Receiver(1)) == [1, 2] and way(Sender(1, mixer=True), Receiver()) == [2, 3]


def test_models_that_only_add_have_no_such_norms() -> None:
    for name in ("gpt2", "gemma2", "olmo2"):
        assert wiring(load(zoo.build(name)[0]).network).norms == ()


def test_the_same_cuts_serve_a_second_pass() -> None:
    """What later norms read in the first pass is not taken for the way to earlier receivers in the second."""
    model, _ = built("bert")
    graph, (here, there) = Graph.of(model), prompts(model)
    wires, mask = wiring(model.network), mixed(graph, 0.5)
    parts = [parse_sender(name) for name in graph.senders], [parse_receiver(name) for name in graph.receivers]
    other = forward(model.network, {"input_ids": there}, keep=dict.fromkeys(map(wires.written, parts[0])), once=True)
    made = Rewire(wires, cuts(wires, *parts, torch.tensor(mask)[None]), other.sites.__getitem__)
    first, second = (forward(model.network, {"input_ids": here}, made.changes()).output for _ in range(2))
    assert first is not None and second is not None and torch.equal(first, second)


class Drifting(nn.LayerNorm):
    """A norm that gives something else each time."""

    calls = 0

    def forward(self, input: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(input) * (1 + 0.1 * self.calls)


def test_a_norm_that_is_no_function_of_its_sum_is_refused() -> None:
    native = zoo.build("openai-gpt")[0]
    native.transformer.h[1].ln_1 = Drifting(32)  # type: ignore[union-attr]
    odd = wiring(load(native).network).odd
    assert list(odd) == [1] and "h.1.ln_1 norms its stream, and does not give by itself" in odd[1]


def test_more_norms_than_parts_are_told() -> None:
    """X-MOD norms after the MLP, and again after an adapter: its layers have no known parts, and are one node each."""
    model, _ = built("xmod")
    assert "normed after something else than its attention and its MLP" in why_whole(model)[0]
    assert Graph.of(model).blocks == (0, 1)
