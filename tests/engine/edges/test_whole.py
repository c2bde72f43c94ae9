"""Layers whose attention or mixer is one part: edges between them against networks written out by hand, and what must hold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.whole_reference import KINDS, by_hand
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor, nn

from assay.circuits.edge_attribution import eap
from assay.circuits.graph import Graph
from assay.circuits.layers import Grouped, layers_of, why_whole
from assay.core.errors import DataError, SiteError
from assay.engine.edges.mixers import Mixer, find_mixers
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.experiments import edit

LENGTH = 9
EXACT = 1e-5
"""Relative to the largest logit: fp32 rounds at 6e-8, and sums of a few hundred terms are added in another order."""


@lru_cache(maxsize=2)
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


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("name", KINDS)
def test_any_circuit_is_what_is_written_out_by_hand(name: str, share: float) -> None:
    model, native = built(name)
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    found, hand = cut(model, graph, mask, here=here, there=there), by_hand(name, native)
    for example in range(len(here)):
        _, other = hand.run(there[example], lambda sender, receiver: True)
        wanted, _ = hand.run(here[example], lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), other)
        assert off(found[example], wanted) < EXACT


@pytest.mark.parametrize("name", KINDS)
def test_the_hand_written_model_is_the_native_one(name: str) -> None:
    model, native = built(name)
    here, _ = prompts(model)
    wanted = by_hand(name, native).run(here[0], lambda s, r: True)[0]
    assert off(model.run(here.tolist()).logits[0], wanted) < EXACT


WHOLE = {
    "mamba": (0, 1),
    "mamba2": (0, 1),
    "falcon_mamba": (0, 1),
    "deepseek_v3": (0, 1),
    "jamba": (0,),
    "falcon_h1": (0, 1),
    "bamba": (0,),
    "granitemoehybrid": (0,),
    "qwen3_next": (0, 1),
    "nemotron_h": (0,),
}
"""Layers of one node: recurrent mixers, latent attention, hybrids, both side by side, attention with a gate."""


@pytest.mark.parametrize("grouped", [True, "whole"])
@pytest.mark.parametrize("name", [*WHOLE, "llama", "gpt_neox", "gemma2", "olmo2"])
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str, grouped: Grouped) -> None:
    model, _ = built(name)
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    assert off(plain, other) > 0.01
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
    if grouped is True:
        assert graph.whole == WHOLE.get(name, ())
        assert set(why_whole(model)) == set(graph.whole) and all(why_whole(model).values())


def test_a_stream_that_is_kept_in_a_finer_dtype() -> None:
    """Mamba in bfloat16 adds up in fp32 and rounds for its norms: 2e-2 of the largest logit, some roundings of 4e-3."""
    model = load(zoo.build("mamba")[0].bfloat16())
    graph, (here, there) = Graph.of(model), prompts(model)
    assert graph.whole == (0, 1)
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), model.run(here.tolist()).logits)
    other = model.run(there.tolist()).logits
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < 2e-2
    found = eap(model, pairs_of_ids(), ablation="counterfactual", metric="logit_diff", check=3)
    assert np.isfinite(found.values).all() and np.abs(found.values).max() > 0.01


def test_two_mixers_side_by_side_write_their_sum() -> None:
    """Falcon-H1: what the part writes is what both add, and an edit of it is felt as such."""
    model, _ = built("falcon_h1")
    here, _ = prompts(model)
    run = model.run(here.tolist(), capture=["L0.attn_out", "L0.ssm_out", "L0.resid_pre", "L0.resid_mid"])
    added = wiring(model.network).mixer(0).added
    assert str(added) == "L0.attn_out + ssm_out"
    both = run["L0.attn_out"] + run["L0.ssm_out"]
    assert off(run["L0.resid_mid"] - run["L0.resid_pre"], both) < EXACT


def test_a_part_is_felt_only_where_its_edge_leads() -> None:
    """What layer 0's scan adds is hidden from the second layer's: its input changes, and the stream does not."""
    model, _ = built("mamba")
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed.copy()
    mask[graph.index("L0.attn->L1.attn")] = False
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    sites = ["L0.ssm_out", "L1.resid_pre", "L1.ssm_in", "L1.ssm_out"]
    plain = model.run(here.tolist(), capture=sites)
    changed = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    assert [torch.equal(plain[site], changed[site]) for site in sites] == [True, True, False, False]


def test_a_layer_is_not_named_both_ways() -> None:
    model, _ = built("llama")
    here, there = prompts(model)
    edges = edit.edges("other", senders=["L0.H1", "L0.attn"], receivers=["logits"], kept=torch.zeros(2, 1))
    with pytest.raises(DataError, match=r"L0\.attn and heads of layer 0 are named together"):
        model.run(here.tolist(), sources={"other": there.tolist()}, edits=edges)


def test_heads_are_refused_where_attention_reads_more_than_queries_keys_and_values() -> None:
    """Qwen3-Next's attention has a gate that reads the stream by itself."""
    model, _ = built("qwen3_next")
    layer = max(i for i in range(model.n_layers) if model.why_not(f"L{i}.q") is None)
    assert "beside its queries" in why_whole(model)[layer]
    with pytest.raises(SiteError, match="has no heads to name"):
        layers_of(model, "heads")


class Leaky(nn.Module):
    """A layer's attention that reads what another layer's attention read: no sum of streams says so."""

    def __init__(self, inner: nn.Module, shared: list[Tensor]) -> None:
        super().__init__()
        self.inner, self.shared = inner, shared

    def forward(self, hidden_states: Tensor, **rest: object) -> object:
        out, *others = self.inner(hidden_states=hidden_states, **rest)
        self.shared.append(hidden_states)
        return (out + 0.5 * self.shared[0], *others)


def test_a_mixer_that_reads_another_layers_input_is_none() -> None:
    native = zoo.build("mistral")[0]
    shared: list[Tensor] = []
    for block in native.model.layers:  # type: ignore[union-attr]
        block.self_attn = Leaky(block.self_attn, shared)  # type: ignore[operator, assignment]
    native.register_forward_pre_hook(lambda *_: shared.clear())
    model = load(native)
    with pytest.raises(SiteError, match="reads something else than the stream through one norm"):
        Graph.of(model, grouped="whole")


@pytest.mark.parametrize(("name", "shared"), [("phi", True), ("gpt_neox", False)])
def test_a_norm_that_the_mlp_reads_too_is_no_mixers_own(
    name: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention and MLP side by side, with one norm or one each, as if attention's own input were not known."""
    model, _ = built(name)
    monkeypatch.setattr("assay.engine.edges.mixers._entries", lambda network, layer: ())
    found = find_mixers(model.network, model.n_layers)
    assert all(isinstance(mixer, Mixer) != shared for mixer in found.values())
    assert not shared or found[0] == "the norm that it reads the stream through is the MLP's too"
