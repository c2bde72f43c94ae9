"""Stored circuit results draw themselves: who shares a key is told from the names alone."""

from __future__ import annotations

import xarray as xr

from assay.circuits.drawing.stored import MOST, recovery, scored_edges
from assay.circuits.graph import Graph


def scores(names: list[str], values: list[float]) -> xr.Dataset:
    return xr.Dataset({"score": ("component", values)}, coords={"component": names})


def test_shared_keys_lead_to_the_heads_that_the_graph_says() -> None:
    graph = Graph.sequential(layers=2, heads=6, kv_heads=2, grouped=True)
    values = [1.0 if name == "embed->L1.KV1.k" else 0.0 for name in graph.edges]
    (picture,) = scored_edges(scores(list(graph.edges), values))
    wanted = [f"{name[1:].replace('.H', '.')}" for name in graph.heads_of("L1.KV1.k")]
    assert wanted == ["1.3", "1.4", "1.5"]
    for name in wanted:
        assert f">{name}</text>" in picture.svg
    assert ">1.2</text>" not in picture.svg


def test_only_the_largest_edges_are_drawn_and_the_caption_says_so() -> None:
    graph = Graph.sequential(layers=3, heads=4)
    values = [float(i % 97) - 40 for i in range(graph.edge_count)]
    (picture,) = scored_edges(scores(list(graph.edges), values))
    assert picture.caption.startswith(f"Score: the {MOST} largest of {graph.edge_count}")
    assert picture.whole


def test_other_scores_and_empty_ones_are_not_edges() -> None:
    assert scored_edges(scores(["L0.H1", "L0.H2"], [1.0, 2.0])) == []
    assert scored_edges(scores(["embed->logits"], [0.0])) == []
    assert scored_edges(scores([], [])) == []
    assert recovery(xr.Dataset({"recovered": ("fraction", [0.5])})) == []
