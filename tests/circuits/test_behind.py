"""Estimates where something happens to the stream behind a layer, and where earlier tensors come in again."""

from __future__ import annotations

import numpy as np
import pytest
from tests.circuits.test_edge_attribution import mask_derivative
from tests.engine.edges.test_behind import built
from tests.tiny_pairs import pairs_of_ids

from assay.circuits import acdc, eap, eap_ig, edge_patching, run_circuits
from assay.circuits.graph import Graph

CASES = ["dory in three loops", "inkling2 of five layers", "inkling2 in loops"]
HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
RUN = {"ablation": "counterfactual", "metrics": "logit_diff"}


@pytest.mark.parametrize("case", CASES)
def test_eap_is_the_derivative_of_the_cut(case: str) -> None:
    """Layers share places: where one hands on its stream the next one reads it. 1e-3 of the largest, as in fp32."""
    subject = built(case)[0]
    found = eap(subject, pairs_of_ids(), **HOW, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(subject, Graph.of(subject), "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sender", ["embed", "L0.block", "L1.block"])
def test_scores_out_of_a_sender_add_up_to_what_ablating_it_does(case: str, sender: str) -> None:
    """In each stream in which what it writes is read. 1e-2 of the effect, at midpoints enough for what the loops make of it."""
    subject, pairs = built(case)[0], pairs_of_ids(3)
    graph = Graph.of(subject)
    how = {"path": "inputs", "steps": 128} if sender == "embed" else {"path": "activations", "steps": 32}
    found = eap_ig(subject, pairs, **HOW, **how, check=0)  # type: ignore[arg-type]
    cut = graph.allowed.copy()
    cut[graph.sender(sender)] = False
    runs = run_circuits(subject, pairs, [cut], graph=graph, **RUN)  # type: ignore[arg-type]
    effect = float((runs.whole["logit_diff"] - runs["logit_diff"][0]).mean())
    summed = sum(found[edge] for edge in graph.edges if edge.startswith(f"{sender}->"))
    assert abs(effect) > 1e-4 and summed == pytest.approx(effect, rel=1e-2)


def test_circuits_are_found() -> None:
    subject = built("inkling2")[0]
    exact = edge_patching(subject, pairs_of_ids(), **HOW)  # type: ignore[arg-type]
    found = acdc(subject, pairs_of_ids(), tau=1e-3, **HOW)  # type: ignore[arg-type]
    assert len(exact) == found.graph.edge_count and np.isfinite(exact.values).all() and found.edge_count > 0
