"""Layers that are called again and again by turns (HRM): edges between their calls against a network written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.conformance import zoo
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor

from assay.circuits import acdc, eap, edge_mask, edge_patching, information_flow
from assay.circuits.edge_mask import MaskTraining
from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.core.errors import SiteError
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
CALLS = "LLLHLLLH"
"""Stacks in the order of their calls; each has two layers."""
Reads = Callable[[str, str], bool]


@lru_cache(maxsize=2)
def built(derived: bool = False) -> tuple[Model, Any]:
    """Two levels of two layers; as released, early cycles are computed without derivatives."""
    native: Any = zoo.build("hrm_text")[0]
    if derived:
        native.model.L_bp_cycles_padded = [3, 3]
    return load(native), native


class ByHand:
    """HRM as a pass over its calls in which each part reads a stream of its own: what every sender wrote, here or there."""

    def __init__(self, native: Any, ids: Tensor) -> None:
        self.native, model = native, native.model
        self.first = model.embed_tokens(ids) * model.embedding_scale
        seen: list[Any] = []
        hook = model.L_module.layers[0].register_forward_pre_hook(lambda m, a, k: seen.append(k), with_kwargs=True)
        native(input_ids=ids, use_cache=False)
        hook.remove()
        self.told = {name: seen[0][name] for name in ("attention_mask", "position_embeddings")}

    def stream(self, wrote: dict[str, Tensor], at: int, layer: int) -> Tensor:
        """The stream in front of a call's layer, from what was written before."""
        model, high = self.native.model, wrote["embed"]
        low = model.z_L_init.expand_as(high)
        for number, kind in enumerate(CALLS[: at + 1]):
            x = low + high
            for inner in (0, 1) if number < at else range(layer):
                x = x + wrote[f"L{2 * number + inner}.attn"] + wrote[f"L{2 * number + inner}.mlp"]
            if number == at:
                return x
            normed = getattr(model, f"{kind}_module").final_norm(x)
            low, high = (normed, high) if kind == "L" else (low, normed)
        raise AssertionError

    @torch.no_grad()
    def run(self, reads: Reads, other: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what each sender wrote; `other` is what they wrote in the other run."""
        wrote = {"embed": self.first}

        def mixed(receiver: str) -> dict[str, Tensor]:
            return {s: value if other is None or reads(s, receiver) else other[s] for s, value in wrote.items()}

        for at, kind in enumerate(CALLS):
            for inner, layer in enumerate(getattr(self.native.model, f"{kind}_module").layers):
                name = f"L{2 * at + inner}"
                x = self.stream(mixed(f"{name}.attn"), at, inner)
                wrote[f"{name}.attn"] = layer.self_attn(hidden_states=layer.input_layernorm(x), **self.told)[0]
                parts = mixed(f"{name}.mlp")
                x = self.stream(parts, at, inner) + parts[f"{name}.attn"]
                wrote[f"{name}.mlp"] = layer.mlp(layer.post_attention_layernorm(x))
        last = self.stream(mixed("logits"), len(CALLS) - 1, 2)
        return self.native.lm_head(self.native.model.H_module.final_norm(last)), wrote


def test_each_call_is_a_layer_of_its_own() -> None:
    model, native = built()
    graph = Graph.of(model)
    assert len(graph.layers) == native.config.num_hidden_layers == 16
    assert graph.whole == tuple(range(16)) and "beside its queries" in why_whole(model)[0]  # a gate
    added = [(norm.module.split(".")[1], str(norm.adds)) for norm in wiring(model.network).norms]
    low = ("L_module", "L0.resid_pre")
    again = ("L_module", "L7.stream_join")
    assert added == [low, low, low, ("H_module", "L5.stream_join"), again, again, again]


def test_the_hand_written_model_is_the_native_one() -> None:
    model, native = built()
    here, _ = prompts(model)
    assert off(model.run(here.tolist()).logits, ByHand(native, here).run(lambda s, r: True)[0]) < EXACT


@pytest.mark.parametrize("share", [0.95, 0.6, 0.1])
def test_any_circuit_is_what_is_written_out_by_hand(share: float) -> None:
    (model, native), (here, there) = built(), prompts(built()[0])
    graph = Graph.of(model)
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    _, other = ByHand(native, there).run(lambda s, r: True)
    wanted, _ = ByHand(native, here).run(lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), other)
    assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT
    assert off(wanted, model.run(here.tolist()).logits) > 1e-3


@pytest.mark.parametrize(
    "edge", ["embed->L4.attn", "L5.mlp->L8.attn", "L3.attn->L7.mlp", "L7.mlp->L12.attn", "L2.mlp->logits"]
)
def test_a_single_edge(edge: str) -> None:
    """Across calls, levels and cycles."""
    (model, native), (here, there) = built(), prompts(built()[0])
    graph = Graph.of(model)
    mask = graph.allowed.copy()
    mask[graph.index(edge)] = False
    _, other = ByHand(native, there).run(lambda s, r: True)
    wanted, _ = ByHand(native, here).run(lambda s, r: f"{s}->{r}" != edge, other)
    found, plain = cut(model, graph, mask, here=here, there=there), model.run(here.tolist()).logits
    assert off(found, wanted) < EXACT and off(wanted, plain) > 10 * EXACT


def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other() -> None:
    model, _ = built()
    here, there = prompts(model)
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    for graph in (Graph.of(model), Graph.of(model, grouped="block")):
        assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
        assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
        parts = np.zeros_like(graph.allowed)
        parts[1:, -1] = True
        assert off(cut(model, graph, parts, here=here, there=there), other) < 10 * EXACT
    assert off(plain, other) > 0.01


@pytest.mark.parametrize("grouped", [False, "block"])
def test_eap_is_the_derivative_of_the_cut(grouped: Any) -> None:
    """Where all cycles are computed with derivatives. fp32: 1e-3 of the largest."""
    model, _ = built(derived=True)
    found = eap(model, pairs_of_ids(), **HOW, grouped=grouped, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(model, Graph.of(model, grouped=grouped), "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())
    assert np.abs(wanted).max() > 0.01


def test_gradients_that_native_code_leaves_out_are_refused() -> None:
    """As released, no gradient goes through early cycles; cutting edges needs none."""
    model, pairs = built()[0], pairs_of_ids()
    with pytest.raises(SiteError, match=r"gradients miss what this model does at L0\.attn_in: .*torch\.no_grad"):
        eap(model, pairs, **HOW, check=0)  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="gradients miss what this model does at L0"):
        edge_mask(model, pairs, size=3, kind="top_k", **HOW, training=MaskTraining(steps=1, batch=2))  # type: ignore[arg-type]
    exact = edge_patching(model, pairs, **HOW, receivers=r"L12\.attn")  # type: ignore[arg-type]
    assert len(exact) == 25 and np.isfinite(exact.values).all() and exact["embed->L12.attn"] != 0
    with pytest.raises(SiteError, match="streams are joined between layers, or go side by side or past them"):
        information_flow(model, pairs, level="edge")
    assert acdc(model, pairs, tau=1e-4, **HOW, grouped="block").edge_count > 0  # type: ignore[arg-type]
