"""Complete and minimal: a circuit without the backup that the model has, and one with a node that does nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits.circuit import Circuit
from assay.circuits.evaluation import circuit_completeness, circuit_minimality
from assay.circuits.graph import Graph
from assay.circuits.running import CircuitRuns
from assay.core.caveats import caveats_in
from assay.core.errors import DataError
from assay.core.provenance import Cost, Provenance

EXACT = 1e-9


def planted(monkeypatch: pytest.MonkeyPatch, works: Callable[[Graph, np.ndarray], bool]) -> None:
    """In the place of running circuits: a behaviour that is there or not, by the edges that a circuit keeps."""

    def run(model, pairs, masks, *, graph, ablation, metrics) -> CircuitRuns:
        rows = np.array([[float(works(graph, mask))] * len(pairs) for mask in masks])
        return CircuitRuns({"kept": rows}, {}, {}, (), Provenance(), Cost())

    monkeypatch.setattr("assay.circuits.evaluation.asking.run_circuits", run)


def leaves(graph: Graph, mask: np.ndarray, node: str) -> bool:
    return bool(mask[graph.sender(node)].any())


def test_a_circuit_without_the_backup_is_faithful_and_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """One MLP does it all; without it a later one takes over in the model, and nothing does in the circuit."""
    planted(monkeypatch, lambda graph, mask: leaves(graph, mask, "L0.mlp") or leaves(graph, mask, "L1.mlp"))
    model = tiny_llama()
    circuit = Circuit.of_edges(Graph.of(model), ["embed->L0.mlp", "L0.mlp->logits", "L0.H0->logits"])
    found = circuit_completeness(
        model, pairs_of_ids(2), circuit=circuit, ablation="zero", metric="logit_diff", random_sets=0, greedy_steps=0
    )
    apart = dict(zip(found.data["removed"].values, found["incompleteness"].values, strict=True))
    assert apart == {"nothing": 0, "L0.H0": 0, "L0.mlp": 1}
    assert "1.00 of the gap, without L0.mlp; with all nodes 0.00" in found.provenance.facts[-1]


def test_a_greedy_search_finds_what_only_shows_with_two_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def works(graph: Graph, mask: np.ndarray) -> bool:
        return any(leaves(graph, mask, node) for node in ("L0.H0", "L0.H1", "L2.mlp"))

    planted(monkeypatch, works)
    model = tiny_llama()
    circuit = Circuit.of_edges(Graph.of(model), ["L0.H0->logits", "L0.H1->logits"])
    found = circuit_completeness(
        model, pairs_of_ids(2), circuit=circuit, ablation="zero", metric="logit_diff", random_sets=0, greedy_steps=1
    )
    apart = dict(zip(found.data["removed"].values, found["incompleteness"].values, strict=True))
    assert apart == {"nothing": 0, "L0.H0": 0, "L0.H1": 0, "L0.H0 L0.H1": 1}


def test_the_whole_model_is_complete() -> None:
    model = tiny_llama()
    graph = Graph.of(model)
    circuit = Circuit(graph, graph.allowed.copy())
    found = circuit_completeness(
        model,
        pairs_of_ids(2),
        circuit=circuit,
        ablation="counterfactual",
        metric="logit_diff",
        random_sets=2,
        greedy_steps=1,
    )
    np.testing.assert_allclose(found["incompleteness"].values, 0, atol=EXACT)
    assert found.data.sizes["set"] == 1 + 15 + 2 + 14  # nothing, each node, halves, a second node beside the worst
    assert len(found.data["removed"].values[-1].split()) == 2


def test_a_node_that_does_nothing_is_not_needed() -> None:
    """Only one head is read by the logits; another is in the circuit and leads nowhere."""
    model = tiny_llama()
    graph = Graph.of(model)
    edges = ["embed->L1.H2.v", "L1.H2->logits", "embed->L0.H0.v", "L0.H0->L1.H3.k", "embed->L2.mlp", "L2.mlp->logits"]
    circuit = Circuit.of_edges(graph, edges)
    found = circuit_minimality(
        model, pairs_of_ids(3), circuit=circuit, ablation="counterfactual", metric="logit_diff", random_sets=2
    )
    matters = dict(zip(found.data["node"].values, found["matters"].values, strict=True))
    assert matters["L0.H0"] == pytest.approx(0, abs=EXACT) and matters["L1.H2"] > 0.01
    assert caveats_in(found.provenance.facts)[-1].startswith("not needed, as far as was tried: L0.H0")


def test_of_two_copies_neither_matters_alone_and_each_does_without_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda graph, mask: leaves(graph, mask, "L0.H0") or leaves(graph, mask, "L0.H1"))
    model = tiny_llama()
    circuit = Circuit.of_edges(Graph.of(model), ["L0.H0->logits", "L0.H1->logits", "L1.mlp->logits"])
    found = circuit_minimality(
        model, pairs_of_ids(2), circuit=circuit, ablation="zero", metric="logit_diff", random_sets=8
    )
    for node in ("L0.H0", "L0.H1"):
        assert float(found["alone"].sel(node=node).mean()) == 0
        assert float(found["matters"].sel(node=node)) == 1
    assert caveats_in(found.provenance.facts)[-1] == "not needed, as far as was tried: L1.mlp"


def test_a_circuit_without_nodes_has_none_to_ask_about() -> None:
    model = tiny_llama()
    circuit = Circuit.of_edges(Graph.of(model), ["embed->logits"])
    with pytest.raises(DataError, match="no heads and no MLPs"):
        circuit_minimality(model, pairs_of_ids(2), circuit=circuit, ablation="counterfactual", metric="logit_diff")
