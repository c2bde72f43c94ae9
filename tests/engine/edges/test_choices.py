"""Tokens that an earlier layer chose: edges between layers against native code with torch's own hooks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.conformance import zoo
from tests.conformance.zoo_weights import perturb
from tests.engine.edges.test_blocks import some_of
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor, nn
from transformers import HYV4ForCausalLM

from assay.circuits import eap, eap_ig, edge_patching
from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.engine.edges.binding import rewire
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.engine.passes import forward
from assay.experiments import edit

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
OWNERS = {1: 0, 2: 0, 4: 3}
"""The layers that are given a choice, and who made it."""


@lru_cache(maxsize=1)
def built() -> tuple[Model, Any]:
    """Five layers: the first and the fourth choose three tokens each, the others take over their choice."""
    config = zoo.build("hy_v4")[0].config
    config.num_hidden_layers, config.index_topk = 5, 3
    config.indexer_types = ["full", "shared", "shared", "full", "shared"]
    config.mlp_layer_types = ["dense", *["sparse"] * 4]
    torch.manual_seed(0)
    native = HYV4ForCausalLM._from_config(config, attn_implementation="eager").eval()
    perturb(native, seed=0)
    return load(native), native


def handed_on(native: nn.Module, ids: Tensor, layer: int, x: Tensor | None, choice: Tensor | None) -> list[Tensor]:
    """What enters and leaves a layer on these tokens, and the choice that it hands on."""
    seen: list[Tensor] = []
    block = native.model.layers[layer]  # type: ignore[union-attr, index]

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        stream = args[0] if x is None else x
        seen.append(stream.clone())
        return (stream, *args[1:]), kwargs | ({} if choice is None else {"prev_topk_indices": choice})

    handles = [
        block.register_forward_pre_hook(before, with_kwargs=True),  # type: ignore[operator, union-attr]
        block.register_forward_hook(lambda m, a, out: seen.extend(t.clone() for t in out)),  # type: ignore[operator, union-attr]
    ]
    with torch.no_grad():
        native(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def by_hand(
    native: Any, ids: Tensor, reads: Any, other: tuple[dict[str, Tensor], dict[int, Tensor]] | None
) -> tuple[Tensor, tuple[dict[str, Tensor], dict[int, Tensor]]]:
    """Logits, what each sender wrote, and what each layer chose; `other` are these in the other run."""
    wrote, chose = {"embed": handed_on(native, ids, 0, None, None)[0]}, dict[int, Tensor]()

    def input_of(receiver: str) -> Tensor:
        return sum(wrote[s] if other is None or reads(s, receiver) else other[0][s] for s in wrote)  # type: ignore[return-value]

    for layer in range(5):
        name, owner = f"L{layer}.block", OWNERS.get(layer)
        choice = None if owner is None else chose[owner]
        if owner is not None and other is not None and not reads(f"L{owner}.block", name):
            choice = other[1][owner]
        x = input_of(name)
        _, y, handed = handed_on(native, ids, layer, x, choice)
        wrote[name], chose[layer] = y - x, handed
    last = input_of("logits")
    handle = native.model.layers[-1].register_forward_hook(lambda m, a, out: (last, *out[1:]))
    with torch.no_grad():
        logits = native(input_ids=ids, use_cache=False).logits
    handle.remove()
    return logits, (wrote, chose)


def test_a_choice_belongs_to_the_layer_that_made_it() -> None:
    model, _ = built()
    given = {
        layer: [(each.sender.name, str(each.site), str(each.first)) for each in block.port.given]  # type: ignore[union-attr]
        for layer, block in wiring(model.network).blocks.items()
    }
    name = "given_prev_topk_indices"
    assert given == {
        0: [], 1: [("L0.block", f"L1.{name}", f"L1.{name}")], 2: [("L0.block", f"L2.{name}", f"L1.{name}")],
        3: [], 4: [("L3.block", f"L4.{name}", f"L4.{name}")],
    }  # fmt: skip
    assert Graph.of(model).blocks == (0, 1, 2, 3, 4) and all(why_whole(model).values())


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_any_circuit_is_what_native_code_makes_of_its_inputs(share: float) -> None:
    (model, native), graph = built(), Graph.of(built()[0])
    here, there = prompts(model)
    _, other = by_hand(native, there, None, None)
    for mask in (
        some_of(graph, share),
        *(single(graph, edge) for edge in ("L0.block->L1.block", "L0.block->L2.block")),
    ):
        wanted, _ = by_hand(native, here, lambda s, r, m=mask: bool(m[graph.sender(s), graph.receiver(r)]), other)
        assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT
        assert off(wanted, model.run(here.tolist()).logits) > 1e-4


def single(graph: Graph, edge: str) -> np.ndarray:
    mask = graph.allowed.copy()
    mask[graph.index(edge)] = False
    return mask


def test_a_cut_choice_is_not_handed_on() -> None:
    """Layer 1 is given the other run's choice; layer 2, which is not cut from its owner, is not."""
    model, _ = built()
    network, wires, graph = model.network, wiring(model.network), Graph.of(model)
    here, there = ({"input_ids": ids} for ids in prompts(model))
    first, second = (wires.block(layer).port.given[0].site for layer in (1, 2))
    writes = [model.site("L0.resid_pre"), *(wires.block(layer).added for layer in range(5))]
    plain, other = (forward(network, inputs, keep=[first, second, *writes]).sites for inputs in (here, there))
    kept = torch.tensor(single(graph, "L0.block->L1.block"))
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=kept)
    found = forward(network, here, rewire(network, edges, other.__getitem__).changes(), [first, second]).sites
    assert torch.equal(found[first], other[first]) and not torch.equal(plain[first], other[first])
    assert torch.equal(found[second], plain[second])


def test_an_estimate_is_the_derivative_of_the_cut() -> None:
    """A choice is one or the other, so neither sees its jump; cutting the edge does. fp32: 1e-3 of the largest."""
    model, _ = built()
    graph = Graph.of(model)
    found = eap(model, pairs_of_ids(), **HOW, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(model, graph, "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())
    exact = edge_patching(model, pairs_of_ids(), **HOW, receivers=r"L1\.block")  # type: ignore[arg-type]
    assert exact["L0.block->L1.block"] != 0
    integrated = eap_ig(model, pairs_of_ids(), **HOW, path="activations", steps=4, check=0)  # type: ignore[arg-type]
    assert np.isfinite(integrated.values).all() and any("completeness gap" in fact for fact in integrated.facts)
