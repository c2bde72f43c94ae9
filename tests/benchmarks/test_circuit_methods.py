"""The benchmark of circuit methods runs from end to end on a tiny model, and its table has a row for each method."""

from __future__ import annotations

from side_by_side.circuit_page import circuits_table
from side_by_side.rounds import Clock
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits.graph import Graph
from circuits import Bench, agreement, on_few

MACHINE = {"cores": 2, "processor": "p", "threads": 1, "load_1_min": 0.0, "load_1_min_after": 0.0}


def test_every_method_has_a_row_and_estimates_stand_beside_exact_scores() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(8)
    bench = Bench(model, pairs, pairs[:4], Clock("cpu"), {}, {})
    for group in (bench.nodes, bench.edges, bench.search):
        group()
    assert set(bench.rows) == {
        *("heads", "attribution", "atp", "eap", "eap_ig", "edges", "middle", "flow", "circuit", "mask", "acdc")
    }
    edges = Graph.of(model).edge_count
    assert len(bench.scores["edges"]) == bench.rows["edges"]["of"] + bench.rows["middle"]["of"]
    near = agreement(on_few(bench))
    assert set(near) == {"attribution", "atp", "eap", "eap_ig", "flow"}
    text = circuits_table(
        {"machine": MACHINE, "clock": "cpu", "edges": edges, "rows": bench.rows, "agreement": near,
         "versions": {"torch": "2"}, "lengths": [7]}
    )  # fmt: skip
    assert text.count("\n|") == 2 + len(bench.rows) and f"{edges:,} edges" in text and "EAP-IG over 8 pairs" in text
