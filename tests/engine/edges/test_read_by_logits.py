"""Logits that are made of more than the last stream (BLT: bytes go past the transformer over their patches)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.engine.edges.test_trial import blt
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor

from assay.circuits import eap, edge_patching, information_flow, run_circuits
from assay.circuits.graph import Graph
from assay.core.errors import InputError, SiteError
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model
from assay.experiments import edit

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
BYTES = ("inputs_embeds", "encoder_attention_mask")


@lru_cache(maxsize=1)
def built() -> Model:
    return blt(3)


class ByHand:
    """BLT with whole mixers as nodes: its global layers written out; what comes before and behind is native code."""

    def __init__(self, native: Any, ids: Tensor) -> None:
        self.native, self.ids, model = native, ids, native.model
        self.told: dict[str, Any] = {}
        self.bytes: dict[str, Tensor] = {}
        first: list[Tensor] = []

        def layer(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            first.append(args[0])
            self.told = {name: kwargs[name] for name in ("attention_mask", "position_embeddings")}

        hooks = [
            model.global_transformer.layers[0].register_forward_pre_hook(layer, with_kwargs=True),
            model.local_decoder.register_forward_pre_hook(lambda m, a, k: self.bytes.update(k), with_kwargs=True),
        ]
        self._run()
        for hook in hooks:
            hook.remove()
        self.first = first[0]

    def _run(self) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.native(input_ids=self.ids, use_cache=False).logits
        return found

    def logits(self, last: Tensor, given: dict[str, Tensor]) -> Tensor:
        """With another stream of patches, and other bytes, given to the decoder."""
        model = self.native.model
        put = {"patch_embeds": last} | {name: given[name] for name in BYTES}
        hook = model.local_decoder.register_forward_pre_hook(lambda m, a, k: (a, k | put), with_kwargs=True)
        found = self._run()
        hook.remove()
        return found

    @torch.no_grad()
    def run(self, reads: Any, there: ByHand | None = None, other: dict[str, Tensor] | None = None) -> Any:
        """Logits, and what each sender wrote."""
        wrote = {"embed": self.first}

        def stream(receiver: str) -> Tensor:
            return sum(wrote[s] if other is None or reads(s, receiver) else other[s] for s in wrote)  # type: ignore[return-value]

        for at, layer in enumerate(self.native.model.global_transformer.layers):
            x = layer.input_layernorm(stream(f"L{at}.attn"))
            wrote[f"L{at}.attn"] = layer.self_attn(hidden_states=x, **self.told)[0]
            wrote[f"L{at}.mlp"] = layer.mlp(layer.post_attention_layernorm(stream(f"L{at}.mlp")))
        own = there is None or reads("embed", "logits")
        return self.logits(stream("logits"), self.bytes if own else there.bytes), wrote  # type: ignore[union-attr]


def test_what_is_given_to_the_logits() -> None:
    model = built()
    given = wiring(model.network).beside
    assert {each.sender.name for each in given} == {"embed"}
    assert {f"native:model.local_decoder:given_{name}" for name in BYTES} <= {str(each.site) for each in given}
    graph = Graph.of(model)
    assert [layer.heads for layer in graph.layers] == [4, 4, 4] and all(layer.mlp for layer in graph.layers)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_any_circuit_is_what_is_written_out_by_hand(share: float) -> None:
    model, (here, there) = built(), prompts(built())
    graph = Graph.of(model, grouped="whole")
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    hand, far = ByHand(model.native, here), ByHand(model.native, there)
    _, other = far.run(lambda s, r: True)
    assert off(model.run(here.tolist()).logits, hand.run(lambda s, r: True)[0]) < EXACT
    for kept in (True, False):
        mask[graph.index("embed->logits")] = kept
        wanted, _ = hand.run(lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), far, other)
        assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT


def test_a_head_reads_what_is_left_of_its_edges() -> None:
    """By hand: the query of one head with another embedding."""
    model, (here, there) = built(), prompts(built())
    graph, native = Graph.of(model), built().native
    mask = graph.allowed.copy()
    mask[graph.index("embed->L1.H2.q")] = False
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    sites = ["L0.resid_pre", "L1.resid_pre", "L1.q"]
    plain, other = (model.run(ids.tolist(), capture=sites) for ids in (here, there))
    found = model.run(here.tolist(), capture=["L1.q"], sources={"other": there.tolist()}, edits=edges)["L1.q"]
    layer: Any = native.model.global_transformer.layers[1]  # type: ignore[union-attr, index]
    with torch.no_grad():
        moved = plain["L1.resid_pre"] + other["L0.resid_pre"] - plain["L0.resid_pre"]
        wanted = layer.self_attn.q_proj(layer.input_layernorm(moved)).unflatten(-1, (4, -1))
    assert off(found[:, :, 2], wanted[:, :, 2]) < EXACT and off(plain["L1.q"][:, :, 2], wanted[:, :, 2]) > 1e-2
    assert torch.equal(found[:, :, [0, 1, 3]], plain["L1.q"][:, :, [0, 1, 3]])


def test_patches_of_several_bytes() -> None:
    """Cut, the decoder's masks are the other run's too; runs with other numbers of patches are refused."""
    model = blt(3)
    graph, rng = Graph.of(model), torch.Generator().manual_seed(1)
    native: Any = model.native
    native.config.patching_threshold = 4.3
    ids = torch.randint(3, native.config.vocab_size - 1, (6, 12), generator=rng)
    nothing = np.zeros_like(graph.allowed)
    run = {number: model.run([one]).logits for number, one in enumerate(ids.tolist())}
    assert off(cut(model, graph, nothing, here=ids[:1], there=ids[2:3]), run[2]) < EXACT  # as many, with other bounds
    assert off(run[0], run[2]) > 0.01
    with pytest.raises(InputError, match=r"L0\.resid_pre is \[1, 13, 32\] .* \[1, 12, 32\] .* give as many positions"):
        cut(model, graph, nothing, here=ids[:1], there=ids[5:])


@pytest.mark.parametrize("grouped", [False, "whole"])
def test_eap_is_the_derivative_of_the_cut(grouped: Any) -> None:
    """With what logits are given by the embedding. fp32: 1e-3 of the largest."""
    found = eap(built(), pairs_of_ids(), **HOW, grouped=grouped, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(built(), Graph.of(built(), grouped=grouped), "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())


def test_what_is_measured_and_what_is_refused() -> None:
    model, graph = built(), Graph.of(built())
    exact = edge_patching(model, pairs_of_ids(), **HOW, receivers="logits")  # type: ignore[arg-type]
    assert len(exact) == len(graph.senders) and np.isfinite(exact.values).all()
    with pytest.raises(SiteError, match=r"logits are made of more of embed than its stream .* take the counterfactual"):
        run_circuits(model, pairs_of_ids(), [graph.allowed], graph=graph, ablation="zero", metrics="logit_diff")
    with pytest.raises(SiteError, match="streams are joined between layers, or go side by side or past them"):
        information_flow(model, pairs_of_ids(), level="edge")
