"""Layers behind which something happens to the stream: edges against layers called one by one, and what must be refused."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.conformance.zoo_overrides import CAUSAL_OVERRIDES
from tests.engine.edges.behind_reference import ByHand
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from torch import Tensor, nn

from assay.circuits.graph import Graph
from assay.engine.model import Model, load
from assay.experiments import edit

KINDS = ["hybrid_sliding", "hybrid", "hybrid", "hybrid_sliding", "hybrid"]
SIZES: dict[str, tuple[str, dict[str, object]]] = {
    "dory": ("dory", {}),
    "dory in three loops": (
        "dory",
        {
            "num_hidden_layers": 4, "n_input_layers": 1, "n_recurrent_layers": 2, "n_recurrent_loops": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        },
    ),
    "inkling2": ("inkling2_text", {"num_experts_per_tok": 4}),
    "inkling2 of five layers": (
        "inkling2_text",
        {"num_hidden_layers": 5, "n_layers_per_attn_res_block": 2, "layer_types": KINDS, "num_experts_per_tok": 4},
    ),
    "inkling2 in loops": (
        "inkling2_loop_text",
        {
            "num_hidden_layers": 4, "n_layers_per_attn_res_block": 1, "num_experts_per_tok": 4, "loop_num_passes": 2,
            "loop_layer_index_start": 1, "loop_layer_index_end": 3, "layer_types": ["hybrid_sliding", "hybrid"] * 2,
        },
    ),
}  # fmt: skip
"""All experts are used: choices by rank make jumps. Of five layers in groups of two the last reads the stream that entered it
once more, behind it."""


SIZES_OF = SIZES | {"rwkv of seven layers": ("rwkv", {"num_hidden_layers": 7})}


@lru_cache(maxsize=4)
def built(case: str) -> tuple[Model, nn.Module]:
    name, sizes = SIZES_OF[case]
    before = CAUSAL_OVERRIDES.get(name, {})
    try:
        CAUSAL_OVERRIDES[name] = before | sizes
        native = zoo.build(name)[0]
    finally:
        CAUSAL_OVERRIDES[name] = before
    if name == "dory":  # with large scores and steps each layer makes a rounding some thirty times as large
        for path, weight in native.double().named_parameters():
            if path.endswith(("sqk", "s_gate", "lambda_1", "lambda_2")):
                weight.data.mul_(0.06)
    return load(native), native


@lru_cache(maxsize=4)
def other_run(case: str) -> ByHand:
    model, native = built(case)
    far = ByHand(native, prompts(model)[1], lambda s, r: True)
    far.logits()
    return far


def both(case: str, graph: Graph, mask: np.ndarray) -> tuple[ByHand, Tensor]:
    model, native = built(case)
    here, far = prompts(model)[0], other_run(case)
    hand = ByHand(native, here, lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), far)
    return hand, hand.logits()


@pytest.mark.parametrize("case", SIZES)
def test_layers_called_one_by_one_are_the_native_model(case: str) -> None:
    model, native = built(case)
    here, _ = prompts(model)
    assert off(ByHand(native, here, lambda s, r: True).logits(), model.run(here.tolist()).logits) < EXACT


@pytest.mark.parametrize("case", SIZES)
def test_each_edge_cut_alone_is_what_is_written_out_by_hand(case: str) -> None:
    """What every layer reads, and the logits: nothing is read otherwise than through the cut edge and what follows it."""
    model, _ = built(case)
    graph, (here, there) = Graph.of(model), prompts(model)
    assert graph.blocks == tuple(range(model.n_layers))
    sites = [f"L{layer}.resid_pre" for layer in range(1, model.n_layers)]
    plain, felt = model.run(here.tolist()).logits, list[float]()
    for edge in graph.edges if graph.edge_count < 12 else graph.edges[:: graph.edge_count // 10]:
        mask = graph.allowed.copy()
        mask[graph.index(edge)] = False
        hand, wanted = both(case, graph, mask)
        edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
        run = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
        assert off(run.logits, wanted) < EXACT, edge
        for layer, site in enumerate(sites, 1):
            cut_here = edge.endswith(f"->L{layer}.block")  # then it is put into the stream, and taken out behind
            wanted = hand.read[f"L{layer}.block"] if cut_here else hand.passing(layer)
            assert off(run[site], wanted) < EXACT, (edge, site)
        felt.append(off(run.logits, plain))
    assert min(felt) > 1e-4


@pytest.mark.parametrize("share", [0.7, 0.4, 0.0])
@pytest.mark.parametrize("case", SIZES)
def test_any_circuit_is_what_is_written_out_by_hand(case: str, share: float) -> None:
    model, _ = built(case)
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    assert off(cut(model, graph, mask, here=here, there=there), both(case, graph, mask)[1]) < EXACT


def test_a_stream_that_is_halved_between_layers_is_handed_on_halved() -> None:
    """RWKV, behind its sixth layer: that is written by the layer, whatever else is cut."""
    model, _ = built("rwkv of seven layers")
    graph, (here, there) = Graph.of(model), prompts(model)
    plain, other = (model.run(ids.tolist(), capture=["L5.resid_post", "L6.resid_pre"]) for ids in (here, there))
    assert off(2 * plain["L6.resid_pre"], plain["L5.resid_post"]) < EXACT
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain.logits)
    last = graph.allowed.copy()
    last[:, graph.receiver("L6.block")] = False
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(last))
    run = model.run(here.tolist(), capture=["L6.resid_pre"], sources={"other": there.tolist()}, edits=edges)
    assert off(run["L6.resid_pre"], other["L6.resid_pre"]) < EXACT
