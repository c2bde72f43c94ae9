"""Numbers with intervals from measured curves."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from assay.circuits.evaluation.areas import FRACTIONS
from assay.circuits.evaluation.summary import QUANTITIES, summarised
from assay.circuits.graph import Graph
from assay.circuits.ranking import rank
from assay.core.errors import DataError
from assay.core.protocols import Scores


def curve(kept: np.ndarray, whole: np.ndarray, empty: np.ndarray, fractions: tuple[float, ...]) -> xr.Dataset:
    rankings = [f"r{i}" for i in range(len(kept))]
    edges = np.tile([int(1000 * f) for f in fractions], (len(kept), 1))
    return xr.Dataset(
        {
            "kept": (("ranking", "fraction", "example"), kept),
            "whole": ("example", whole),
            "empty": ("example", empty),
        },
        coords={"ranking": rankings, "fraction": list(fractions), "edges": (("ranking", "fraction"), edges)},
    )


def test_random_circuits_of_an_all_or_nothing_model_get_mibs_random_row() -> None:
    """A model that works with every edge of a planted path and not at all without one; circuits in random order."""
    graph = Graph.sequential(layers=4, heads=4)
    path = graph.mask(["embed->L1.H2.v", "L1.H2->L2.mlp", "L2.mlp->L3.H0.q", "L3.H0->logits", "embed->L3.H0.v"])
    rng, n = np.random.default_rng(0), 6
    rows = []
    for _ in range(8):
        ranking = rank(graph, Scores(graph.edges, rng.normal(size=graph.edge_count), "random"), absolute=False)
        circuits = [ranking.circuit(int(f * graph.edge_count)) for f in FRACTIONS]
        rows.append([[float((mask >= path).all())] * n for mask in circuits])
    found = summarised(curve(np.array(rows), np.ones(n), np.zeros(n), FRACTIONS))
    values = found["summary"].sel(bound="value").median("ranking")
    assert float(values.sel(quantity="cpr")) == pytest.approx(0.25, abs=0.01)
    assert float(values.sel(quantity="cmd")) == pytest.approx(0.75, abs=0.01)


def test_every_number_by_hand() -> None:
    kept = np.array([[[0.0, 2.0], [2.0, 4.0], [2.0, 4.0]]])
    data = summarised(curve(kept, np.array([2.0, 4.0]), np.array([0.0, 2.0]), (0.01, 0.1, 1.0)))
    np.testing.assert_allclose(data["recovered"].sel(bound="value").values, [[0, 1, 1]])
    expected = {
        "cpr": 0.09 / 2 + 0.9,
        "cmd": 0.09 / 2,
        "cpr_log": 0.75,
        "cmd_log": 0.25,
        "size_80": 100,
        "size_95": 100,
    }
    for name, value in expected.items():
        assert float(data["summary"].sel(quantity=name, bound="value", ranking="r0")) == pytest.approx(value), name
    assert list(data["quantity"].values) == list(QUANTITIES)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Examples of gap 1 with circuits that recover .6 ± .3; 60 data sets, so between 50 and all of them at 95 %."""
    covered = 0
    for seed in range(60):
        kept = np.random.default_rng(seed).normal(0.6, 0.3, size=(1, 2, 40))
        data = summarised(curve(kept, np.ones(40), np.zeros(40), (0.1, 1.0)))
        low, high = (float(data["recovered"].sel(bound=b, fraction=0.1)[0]) for b in ("low", "high"))
        covered += low <= 0.6 <= high
    assert 50 <= covered <= 60


def test_where_every_example_recovers_the_same_share_there_is_no_doubt() -> None:
    rng = np.random.default_rng(2)
    whole, empty = rng.normal(5, 1, 12), rng.normal(1, 1, 12)
    data = summarised(curve((empty + 0.6 * (whole - empty))[None, None].repeat(2, axis=1), whole, empty, (0.1, 1.0)))
    np.testing.assert_allclose(data["recovered"].values, 0.6, atol=1e-12)  # value, low and high


def test_the_spread_is_that_of_examples_and_leaves_out_those_without_a_gap() -> None:
    kept = np.array([[[0.0, 1.0, 7.0], [1.0, 1.0, 7.0]]])
    data = summarised(curve(kept, np.array([1.0, 1.0, 7.0]), np.array([0.0, 0.0, 7.0]), (0.1, 1.0)))
    np.testing.assert_allclose(data["spread"].sel(ranking="r0", fraction=0.1, quantile=0.5), 0.5)
    np.testing.assert_allclose(data["mean_of_ratios"].values, [[0.5, 1.0]])


def test_templates_are_drawn_whole() -> None:
    """Two templates, one all right and one all wrong: drawn by template the interval is everything, by example it is not."""
    kept = np.array([[[0.0] * 10 + [1.0] * 10, [1.0] * 20]])
    given = curve(kept, np.ones(20), np.zeros(20), (0.1, 1.0))
    alone = summarised(given)["recovered"].isel(ranking=0, fraction=0)
    whole = summarised(given, clusters=["a"] * 10 + ["b"] * 10)["recovered"].isel(ranking=0, fraction=0)
    assert (float(whole.sel(bound="low")), float(whole.sel(bound="high"))) == (0, 1)
    assert 0.2 < float(alone.sel(bound="low")) < float(alone.sel(bound="high")) < 0.8


def test_no_gap_is_refused() -> None:
    with pytest.raises(DataError, match="no gap to recover"):
        summarised(curve(np.ones((1, 2, 3)), np.ones(3), np.ones(3), (0.1, 1.0)))
