"""Circuits in which a layer's attention or mixer is one node: every method that takes a graph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.circuits.test_edge_patching import whole_passes
from tests.conformance import zoo
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import acdc, eap, eap_ig, edge_baseline, edge_mask, edge_patching, information_flow, random_scores
from assay.circuits.circuit import Circuit
from assay.circuits.edge_mask import MaskTraining
from assay.circuits.evaluation.single import on_model
from assay.circuits.graph import Graph
from assay.circuits.layers import Layer
from assay.circuits.mib_format import to_mib
from assay.circuits.running import circuits_of, run_circuits
from assay.core.errors import DataError, SettingsError, SiteError
from assay.engine.model import Model, load

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
KINDS = ("mamba", "jamba", "falcon_h1", "deepseek_v3", "qwen3_next")
MIXED = Graph((Layer(2, 2), Layer(0, 0, whole=True), Layer(0, 0, mlp=False, whole=True), Layer(0, 0)))
"""Heads, a mixer with an MLP, a mixer alone, an MLP alone."""


@lru_cache(maxsize=8)
def model(name: str) -> Model:
    return tiny_llama() if name == "llama" else load(zoo.build(name)[0])


def test_names_and_counts_of_a_mixed_graph() -> None:
    """By hand: layer 0 has 6 slots that read 1 and an MLP that reads 3; then 4, 5; 6; 7; and logits that read 8."""
    assert MIXED.senders == ("embed", "L0.H0", "L0.H1", "L0.mlp", "L1.attn", "L1.mlp", "L2.attn", "L3.mlp")
    assert MIXED.receivers[-5:] == ("L1.attn", "L1.mlp", "L2.attn", "L3.mlp", "logits")
    assert MIXED.edge_count == 6 * 1 + 3 + 4 + 5 + 6 + 7 + 8
    assert MIXED.whole == (1, 2) and "layers 1, 2" in MIXED.facts[0]
    assert Graph.from_json(MIXED.to_json()) == MIXED


def test_in_a_parallel_block_a_mixer_does_not_reach_its_own_mlp() -> None:
    graph = Graph((Layer(0, 0, parallel=True, whole=True),))
    assert graph.edges == ("embed->L0.attn", "embed->L0.mlp", "embed->logits", "L0.attn->logits", "L0.mlp->logits")


def test_graphs_by_heads_are_saved_as_they_were() -> None:
    assert Graph.sequential(layers=1, heads=4, kv_heads=2).to_json() == {
        "layers": [[4, 2, True, False]],
        "grouped": False,
    }


def test_pruning_goes_through_mixers() -> None:
    path = ("embed->L0.H1.v", "L0.H1->L1.attn", "L1.attn->L2.attn", "L2.attn->logits")
    dangling = ("embed->L1.mlp", "L1.mlp->L2.attn", "L0.mlp->L3.mlp")
    assert set(MIXED.names(MIXED.prune(MIXED.mask((*path, *dangling))))) == {*path, *dangling[:2]}


def test_every_layer_can_be_asked_for_whole() -> None:
    graph = Graph.of(model("llama"), grouped="whole")
    assert graph.whole == (0, 1, 2)
    assert graph.edge_count == 1 + 2 + 3 + 4 + 5 + 6 + 7
    with pytest.raises(SettingsError, match="expected false, true, whole or block"):
        Graph.of(model("llama"), grouped="some")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*KINDS, "llama"])
def test_each_edge_by_itself_is_what_whole_passes_give(name: str) -> None:
    """Every edge of a small graph of whole mixers. Native code rounds to fp32 in most: 2e-5 of logits near 1."""
    subject = model(name)
    found = edge_patching(subject, pairs_of_ids(), **HOW, grouped="whole")  # type: ignore[arg-type]
    graph = Graph.of(subject, grouped="whole")
    assert found.components == graph.edges and found.per_example is not None
    wanted = whole_passes(subject, graph, list(graph.edges), "counterfactual")
    np.testing.assert_allclose(found.per_example, wanted, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))
    assert float(np.abs(wanted).max()) > 0.01


@pytest.mark.parametrize("name", [*KINDS, "llama"])
def test_eap_is_the_derivative_of_the_cut(name: str) -> None:
    """As for heads; all is fp32 here: 1e-3 of the largest."""
    subject = model(name)
    graph = Graph.of(subject, grouped="whole")
    found = eap(subject, pairs_of_ids(), **HOW, grouped="whole", check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(subject, graph, "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())
    assert graph.facts[0] in found.facts


@pytest.mark.parametrize("ablation", ["counterfactual", "mean", "zero", "resample"])
@pytest.mark.parametrize("name", ["falcon_h1", "mamba", "bamba"])
def test_scores_out_of_a_mixer_add_up_to_what_ablating_it_does(name: str, ablation: str) -> None:
    """Along the path of what layer 0's mixer writes, with the ablation's own values. 64 steps; 5e-3 of the effect. (Experts
    that are chosen by rank make jumps on the path, which no sum of slopes sees: none here.)"""
    subject, pairs = model(name), pairs_of_ids()
    graph = Graph.of(subject)
    settings = {"ablation": ablation, "metric": "logit_diff"}
    found = eap_ig(subject, pairs, **settings, path="activations", steps=64, check=0)  # type: ignore[arg-type]
    cut = graph.allowed.copy()
    cut[graph.sender("L0.attn")] = False
    runs = run_circuits(subject, pairs, [cut], graph=graph, ablation=ablation, metrics="logit_diff")  # type: ignore[arg-type]
    effect = float((runs.whole["logit_diff"] - runs["logit_diff"][0]).mean())
    summed = sum(found[edge] for edge in graph.edges if edge.startswith("L0.attn->"))
    assert abs(effect) > 1e-3 and summed == pytest.approx(effect, abs=5e-3 * max(abs(effect), 0.1))


@pytest.mark.parametrize("name", ["mamba", "jamba", "deepseek_v3"])
def test_circuits_are_found_run_drawn_and_saved(name: str, tmp_path: Path) -> None:
    subject, pairs = model(name), pairs_of_ids()
    graph = Graph.of(subject)
    found = acdc(subject, pairs, tau=1e-3, **HOW)  # type: ignore[arg-type]
    assert found.graph == graph and 0 < found.edge_count <= graph.edge_count
    masks = [found.mask, graph.allowed]
    runs = run_circuits(subject, pairs, masks, graph=graph, ablation="counterfactual", metrics="logit_diff")
    np.testing.assert_allclose(runs["logit_diff"][1], runs.whole["logit_diff"])
    assert "attn 0" in Circuit.of_edges(graph, ["embed->L0.attn", "L0.attn->logits"]).svg()
    again = Circuit.load(found.save(tmp_path / "circuit.json"))
    assert again.edges == found.edges and on_model(subject, again).graph == graph


def test_masks_are_learned_over_mixers() -> None:
    subject = model("mamba")
    asked = MaskTraining(steps=20, batch=4)
    found = edge_mask(subject, pairs_of_ids(8), size=3, kind="top_k", **HOW, training=asked)  # type: ignore[arg-type]
    assert len(found) == Graph.of(subject).edge_count
    assert np.isfinite(found.values).all() and float(np.ptp(found.values)) > 0.1


def test_a_circuit_of_whole_mixers_is_read_as_such_where_there_are_heads() -> None:
    subject = model("llama")
    whole = Graph.of(subject, grouped="whole")
    assert Graph.naming(subject, whole.edges) == whole
    assert Graph.naming(subject, ["L0.KV1.k"]) == Graph.of(subject, grouped=True)
    assert Graph.naming(model("jamba"), ["L0.attn->logits"]) == Graph.of(model("jamba"))
    circuit = Circuit.of_edges(whole, ["embed->L1.attn", "L1.attn->logits"])
    assert on_model(subject, circuit).edges == circuit.edges


def test_mibs_format_has_no_such_nodes() -> None:
    with pytest.raises(DataError, match="layer 0's attention or mixer is one node"):
        to_mib(Circuit.of_edges(Graph.of(model("mamba")), ["embed->logits"]), d_model=32)


def test_information_flow_counts_mixers_and_needs_heads_for_nodes() -> None:
    subject = model("jamba")
    shares = information_flow(subject, pairs_of_ids(3), level="edge")
    into = [value for edge, value in zip(shares.components, shares.values, strict=True) if edge.endswith("->L0.mlp")]
    assert len(into) == 2 and sum(into) == pytest.approx(1, abs=1e-5)
    with pytest.raises(SiteError, match="no heads to name"):
        information_flow(subject, pairs_of_ids(3), level="node")


def test_a_baseline_of_nodes_scores_edges_of_mixers() -> None:
    subject = model("mamba")
    nodes = random_scores(model("llama"), pairs_of_ids(3), granularity="attn", seed=0)
    found = edge_baseline(subject, pairs_of_ids(3), scores=nodes, combine="sum")
    assert found["L0.attn->L1.attn"] == pytest.approx(nodes["L0.attn"] + nodes["L1.attn"])


def test_zero_is_zero_at_each_mixer() -> None:
    """The run of replaced values holds zeros where mixers write, and only there."""
    subject = model("jamba")
    made = circuits_of(subject, pairs_of_ids(), graph=Graph.of(subject), ablation="zero", metrics="logit_diff")
    edits = [edit.site for edit in made.prepared.experiment.runs[made.source].edits]
    assert edits == ["L0.resid_pre", "z", "L0.ssm_out", "mlp_out"]
    (runner,) = made.runners()
    for site, value in runner.kept[made.source].sites.items():
        assert torch.count_nonzero(value) == 0, site
