"""Circuits in which a whole layer is one node: every method that takes a graph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from tests.circuits.test_edge_attribution import mask_derivative
from tests.conformance import zoo
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import acdc, eap, eap_ig, edge_mask, edge_patching, information_flow
from assay.circuits.circuit import Circuit
from assay.circuits.edge_mask import MaskTraining
from assay.circuits.evaluation.single import on_model
from assay.circuits.graph import Graph
from assay.circuits.layers import Layer
from assay.circuits.mib_format import to_mib
from assay.circuits.running import circuits_of, run_circuits
from assay.core.errors import DataError, SiteError
from assay.engine.model import Model, load

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
MIXED = Graph((Layer(2, 2), Layer(0, 0, mlp=False, block=True), Layer(0, 0, whole=True)))
"""Heads and an MLP, a layer that is one node, a mixer with an MLP."""


@lru_cache(maxsize=8)
def model(name: str) -> Model:
    return tiny_llama() if name == "llama" else load(zoo.build(name)[0])


def test_names_and_counts_of_a_mixed_graph() -> None:
    """By hand: 6 slots that read 1, an MLP that reads 3, a block that reads 4, a mixer 5, its MLP 6, and logits 7."""
    assert MIXED.senders == ("embed", "L0.H0", "L0.H1", "L0.mlp", "L1.block", "L2.attn", "L2.mlp")
    assert MIXED.receivers[-4:] == ("L1.block", "L2.attn", "L2.mlp", "logits")
    assert MIXED.edge_count == 6 * 1 + 3 + 4 + 5 + 6 + 7
    assert MIXED.blocks == (1,) and MIXED.facts[1] == "all that a layer does is one node in layers 1"
    assert Graph.from_json(MIXED.to_json()) == MIXED


def test_pruning_goes_through_blocks() -> None:
    path = ("embed->L0.H1.v", "L0.H1->L1.block", "L1.block->L2.attn", "L2.attn->logits")
    assert set(MIXED.names(MIXED.prune(MIXED.mask((*path, "L1.block->L2.mlp", "L0.H0->L1.block"))))) == set(path)


def test_every_layer_can_be_asked_for_as_one_node() -> None:
    graph = Graph.of(model("llama"), grouped="block")
    assert graph.blocks == (0, 1, 2) and graph.edge_count == 1 + 2 + 3 + 4
    assert Graph.naming(model("llama"), graph.edges) == graph


@pytest.mark.parametrize("name", ["llama", "minimax", "zamba", "gemma4_text"])
def test_eap_is_the_derivative_of_the_cut(name: str) -> None:
    """With what layers are given beside their stream; all is fp32 here but for Llama: 1e-3 of the largest."""
    subject = model(name)
    graph = Graph.of(subject, grouped="block")
    found = eap(subject, pairs_of_ids(), **HOW, grouped="block", check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(subject, graph, "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())
    assert graph.facts[0] in found.facts


@pytest.mark.parametrize("ablation", ["counterfactual", "mean"])
@pytest.mark.parametrize("name", ["llama", "doge", "gemma4_text"])
def test_scores_out_of_a_block_add_up_to_what_ablating_it_does(name: str, ablation: str) -> None:
    """Along the path of all that layer 0 writes, keys that a later layer reads too. 64 steps; 5e-3 of the effect."""
    subject, pairs = model(name), pairs_of_ids()
    graph = Graph.of(subject, grouped="block")
    settings = {"ablation": ablation, "metric": "logit_diff"}
    if name == "gemma4_text" and ablation != "counterfactual":
        with pytest.raises(SiteError, match=r"L0\.block reads more of embed than its stream"):
            circuits_of(subject, pairs, graph=graph, ablation=ablation, metrics="logit_diff")
        return
    found = eap_ig(subject, pairs, **settings, path="activations", steps=64, grouped="block", check=0)  # type: ignore[arg-type]
    cut = graph.allowed.copy()
    cut[graph.sender("L0.block")] = False
    runs = run_circuits(subject, pairs, [cut], graph=graph, ablation=ablation, metrics="logit_diff")  # type: ignore[arg-type]
    effect = float((runs.whole["logit_diff"] - runs["logit_diff"][0]).mean())
    summed = sum(found[edge] for edge in graph.edges if edge.startswith("L0.block->"))
    assert abs(effect) > 1e-3 and summed == pytest.approx(effect, abs=5e-3 * max(abs(effect), 0.1))


def test_zero_is_zero_at_each_block() -> None:
    """The run of replaced values holds a layer's two ends alike, so that the layer adds nothing."""
    subject = model("minimax")
    made = circuits_of(subject, pairs_of_ids(), graph=Graph.of(subject), ablation="zero", metrics="logit_diff")
    (runner,) = made.runners()
    assert len(runner.kept[made.source].sites) == 3
    for site, value in runner.kept[made.source].sites.items():
        assert np.count_nonzero(value.numpy()) == 0, site
    with pytest.raises(SiteError, match="each is resampled by itself"):
        circuits_of(subject, pairs_of_ids(), graph=Graph.of(subject), ablation="resample", metrics="logit_diff")


def test_the_mean_of_what_a_block_adds_is_the_mean() -> None:
    subject, pairs = model("minimax"), pairs_of_ids()
    ablation = {"kind": "mean", "positions": "each", "over": "clean"}
    made = circuits_of(subject, pairs, graph=Graph.of(subject), ablation=ablation, metrics="logit_diff")  # type: ignore[arg-type]
    (runner,) = made.runners()
    site = made.wiring.block(1).added
    run = subject.run(pairs.clean_tokens, capture=["L1.resid_pre", "L1.resid_post"])
    added = (run["L1.resid_post"] - run["L1.resid_pre"]).mean(0)
    np.testing.assert_allclose(runner.value(made.source, site)[0], added, atol=1e-5 * float(added.abs().max()))


@pytest.mark.parametrize("name", ["minimax", "zaya"])
def test_circuits_are_found_run_drawn_and_saved(name: str, tmp_path: Path) -> None:
    subject, pairs = model(name), pairs_of_ids()
    graph = Graph.of(subject)
    exact = edge_patching(subject, pairs, **HOW)  # type: ignore[arg-type]
    assert len(exact) == graph.edge_count and np.isfinite(exact.values).all()
    found = acdc(subject, pairs, tau=1e-3, **HOW)  # type: ignore[arg-type]
    assert found.graph == graph and 0 < found.edge_count <= graph.edge_count
    assert "block 0" in Circuit.of_edges(graph, ["embed->L0.block", "L0.block->logits"]).svg()
    again = Circuit.load(found.save(tmp_path / "circuit.json"))
    assert again.edges == found.edges and on_model(subject, again).graph == graph
    with pytest.raises(DataError, match="layer 0 is one node here"):
        to_mib(Circuit.of_edges(graph, ["embed->logits"]), d_model=32)


def test_masks_are_learned_over_blocks() -> None:
    subject = model("minimax")
    asked = MaskTraining(steps=20, batch=4)
    found = edge_mask(subject, pairs_of_ids(8), size=3, kind="top_k", **HOW, training=asked)  # type: ignore[arg-type]
    assert len(found) == Graph.of(subject).edge_count
    assert np.isfinite(found.values).all() and float(np.ptp(found.values)) > 0.1


def test_information_flow_counts_blocks() -> None:
    shares = information_flow(model("minimax"), pairs_of_ids(3), level="edge")
    into = [v for edge, v in zip(shares.components, shares.values, strict=True) if edge.endswith("->L1.block")]
    assert len(into) == 2 and sum(into) == pytest.approx(1, abs=1e-5)
