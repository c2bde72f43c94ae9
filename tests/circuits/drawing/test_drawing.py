"""Pictures of circuits and curves: what is in them, and where."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import xarray as xr

from assay.circuits.circuit import Circuit
from assay.circuits.drawing import curve_picture
from assay.circuits.drawing.layout import layout, links
from assay.circuits.drawing.wiring import AGAINST, HELPS, PLAIN
from assay.circuits.graph import Graph
from assay.core.protocols import Scores

GRAPH = Graph.sequential(layers=4, heads=4)
SVG = "{http://www.w3.org/2000/svg}"
EDGES = {"embed->L0.H1.v": 2.0, "L0.H1->L2.mlp": -0.5, "L2.mlp->logits": 1.0, "L0.H1->logits": 0.1}


def paths(svg: str) -> dict[str, ElementTree.Element]:
    """The drawn edges by the name that hovering shows."""
    found = list(ElementTree.fromstring(svg).iter(f"{SVG}path"))
    return {(path[0].text or "").split("  ")[0]: path for path in found}


def test_every_edge_is_drawn_with_its_sign_and_strength() -> None:
    drawn = paths(Circuit.of_edges(GRAPH, EDGES, scores=Scores.of(EDGES, "by hand")).svg())
    assert set(drawn) == set(EDGES)
    assert drawn["embed->L0.H1.v"].get("stroke") == HELPS and drawn["L0.H1->L2.mlp"].get("stroke") == AGAINST
    assert drawn["L0.H1->L2.mlp"].get("stroke-dasharray") and not drawn["embed->L0.H1.v"].get("stroke-dasharray")
    widths = {name: float(path.get("stroke-width", "0")) for name, path in drawn.items()}
    assert sorted(EDGES, key=lambda e: abs(EDGES[e])) == sorted(widths, key=widths.__getitem__)


def test_without_scores_all_edges_are_alike_and_it_is_said() -> None:
    svg = Circuit.of_edges(GRAPH, EDGES).svg(title="<plain> & simple")
    assert {path.get("stroke") for path in paths(svg).values()} == {PLAIN}
    assert "no scores" in svg and "&lt;plain&gt; &amp; simple: 4 edges" in svg


def test_of_many_edges_the_strongest_are_drawn_and_it_is_said() -> None:
    values = np.random.default_rng(0).normal(size=GRAPH.edge_count)
    scores = Scores(GRAPH.edges, values, "random")
    circuit = Circuit.of_scores(GRAPH, scores, size=GRAPH.edge_count, absolute=True)
    svg = circuit.svg(most=20)
    assert set(paths(svg)) == set(scores.top(20, absolute=True))
    assert f"20 strongest of {GRAPH.edge_count} edges" in svg


def test_columns_go_from_the_embedding_through_layers_to_the_logits() -> None:
    found = layout(links(GRAPH.heads_of, list(EDGES.items())))
    x = {name: place[0] for name, place in found.places.items()}
    assert x["embed"] < x["L0.H1"] < x["L2.mlp"] < x["logits"]
    assert [title for _, title in found.titles] == ["layer 0", "layer 2"]


def test_nodes_do_not_cover_one_another() -> None:
    values = np.random.default_rng(1).normal(size=GRAPH.edge_count)
    circuit = Circuit.of_scores(GRAPH, Scores(GRAPH.edges, values, "random"), size=80, absolute=True)
    places = list(layout(links(GRAPH.heads_of, [(edge, None) for edge in circuit.edges])).places.values())
    gaps = [max(abs(a[0] - b[0]) / 46, abs(a[1] - b[1]) / 22) for i, a in enumerate(places) for b in places[:i]]
    assert min(gaps) > 1  # boxes are 46 by 22


def test_a_shared_key_leads_to_each_head_that_shares_it() -> None:
    grouped = Graph.sequential(layers=1, heads=4, kv_heads=2, grouped=True)
    assert {link.target for link in links(grouped.heads_of, [("embed->L0.KV1.k", 1.0)])} == {"L0.H2", "L0.H3"}


def test_an_empty_circuit_can_be_drawn() -> None:
    assert "0 edges" in Circuit.of_edges(GRAPH, []).svg()


def curves() -> xr.Dataset:
    recovered = np.array([[[0.1, 0, 0.2], [0.9, 0.8, 1.0]], [[0, -0.1, 0.1], [9.0, 8.0, 9.9]], [[0, 0, 0], [1, 1, 1]]])
    return xr.Dataset(
        {"recovered": (("ranking", "fraction", "bound"), recovered)},
        coords={
            "ranking": ["signed", "absolute", "random 0"], "fraction": [0.1, 1.0], "bound": ["value", "low", "high"],
            "edges": (("ranking", "fraction"), np.array([[10, 100], [8, 100], [0, 100]])),
        },
    )  # fmt: skip


def test_a_curve_has_a_line_for_each_ranking_with_its_interval_and_a_band_for_random_ones() -> None:
    svg = str(curve_picture(curves(), title="IOI"))
    tree = ElementTree.fromstring(svg)
    heads = [each for each in tree.iter(f"{SVG}polygon") if each.get("fill-opacity") is None]
    assert len(list(tree.iter(f"{SVG}polyline"))) == len(list(tree.iter(f"{SVG}polygon"))) - len(heads) == 3
    assert all(text in svg for text in ("IOI", "signed", "absolute", "random circuits"))
    inside = [float(n) for line in tree.iter(f"{SVG}polyline") for n in re.findall(r"[\d.]+", line.get("points", ""))]
    assert max(inside) <= 640 and min(inside) >= 0


def test_what_lies_beyond_the_axis_is_an_arrowhead_that_says_how_far() -> None:
    """The absolute ranking's second circuit recovers 9, where the axis ends at 2; then −4, where it ends at −0.5."""
    for value, way, text in ((9.0, -1, "up to 9"), (-4.0, 1, "down to −4")):
        data = curves()
        data["recovered"][1, 1] = value
        svg = str(curve_picture(data))
        heads = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}polygon") if e.get("fill-opacity") is None]
        assert len(heads) == 1 and f"arrowheads lie beyond the axis: {text}<" in svg
        corners = [tuple(map(float, each.split(","))) for each in heads[0].get("points", "").split()]
        assert (corners[2][1] - corners[0][1]) * way > 0, "the point shows where the value is"
        assert corners[2][1] == (40.0 - 4 if way < 0 else 400.0 - 58 + 4)
    inside = curves()
    inside["recovered"][1, 1] = 1.0
    assert "arrowheads" not in str(curve_picture(inside))
