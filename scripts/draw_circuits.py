"""The pictures of docs/circuits/evaluation.md, from the same small model with a known circuit: docs/images/circuit*.svg."""

from __future__ import annotations

from pathlib import Path

from assay.circuits import choose_circuit, circuit_curves
from assay.circuits.drawing import curve_picture
from assay.circuits.graph import Graph
from assay.circuits.running import run_circuits
from assay.core.files import write_text
from assay.core.protocols import Scores
from assay.training.planted import situation

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    """Score every edge by cutting it, then draw the best circuit and the curve."""
    planted = situation("indirect object")
    model, found_on, held_out = planted.model, planted.pairs[:8], planted.pairs[8:]
    graph = Graph.of(model)
    without = []
    for edge in graph.edges:
        mask = graph.allowed.copy()
        mask[graph.index(edge)] = False
        without.append(mask)
    cut = run_circuits(model, found_on, without, graph=graph, ablation="counterfactual", metrics="logit_diff")
    lost = cut.whole["logit_diff"] - cut["logit_diff"]
    scores = Scores.over_examples(graph.edges, lost, "logit difference lost without the edge")
    circuit = choose_circuit(model, found_on, scores=scores, fraction=0.2, absolute=True)
    write_text(IMAGES / "circuit.svg", circuit.svg(title="indirect object, compiled") + "\n")
    curves = circuit_curves(
        model, held_out, scores=scores, ablation="counterfactual", metric="logit_diff", random_circuits=8
    )
    write_text(IMAGES / "circuit-curve.svg", str(curve_picture(curves.data, title="indirect object, compiled")) + "\n")
    for fact in (*circuit.facts, *curves.provenance.facts):
        print(fact)


if __name__ == "__main__":
    main()
