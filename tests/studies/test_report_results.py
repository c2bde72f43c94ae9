"""Figures of results with a meaning of their own: chosen by the stored numbers, which they show."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from assay.core.pictures import Picture, pictures_of
from assay.studies.report.choose import figures
from assay.studies.report.scatter import estimates_against_exact

from .test_report_figures import result

RNG = np.random.default_rng(0)
HEADS = [f"L{layer}.H{head}" for layer in range(4) for head in range(5)]


def test_alignments_become_a_heatmap_for_each_variable_with_baselines_said() -> None:
    values = RNG.random((2, 4, 3))
    data = xr.Dataset(
        {"iia": (("variable", "layer", "pos"), values), "chance": ("variable", [0.5, 0.25]),
         "random": (("variable", "layer", "pos"), values / 4)},
        coords={"variable": ["same", "sum"], "layer": range(4), "pos": ["a", "b", "end"]},
    )  # fmt: skip
    first, second = figures(result(data))
    assert [first.title, second.title] == ["IIA of same", "IIA of sum"]
    assert second.data is not None
    np.testing.assert_allclose(second.data["values"], values[1], rtol=1e-3)  # written with 4 digits
    assert "Chance is 0.25" in second.caption
    assert f"random reaches at most {values[1].max() / 4:.2f}" in second.caption


def test_effects_stand_side_by_side_the_largest_total_first() -> None:
    total = np.array([[0.1, 0.2], [-3.0, -3.2], [1.0, 1.1]])
    data = xr.Dataset(
        {
            name: (("node", "example"), total * part)
            for name, part in (("total", 1), ("direct", 0.4), ("indirect", 0.6))
        },
        coords={"node": ["L0.mlp", "L1.mlp", "L2.mlp"]},
    )
    (figure,) = figures(result(data))
    assert figure.numbers is not None
    assert [track.name for track in figure.numbers.tracks] == ["total", "direct", "indirect"]
    assert figure.numbers.tracks[0].x == ("L1.mlp", "L2.mlp", "L0.mlp")
    assert figure.numbers.tracks[1].y == pytest.approx([-1.24, 0.42, 0.06])
    assert figure.numbers.tracks[0].low is not None


def test_a_circuit_stands_beside_random_ones() -> None:
    values = [[0.8, 0.7, 0.9], [0.1, 0.0, 0.2], [0.2, 0.1, 0.3]]
    data = xr.Dataset(
        {"recovered": (("circuit", "bound"), values)},
        coords={"circuit": ["found", "random 0", "random 1"], "bound": ["value", "low", "high"]},
    )
    (figure,) = figures(result(data))
    assert figure.numbers is not None
    (track,) = figure.numbers.tracks
    assert (track.x, track.low) == (("found", "random 1", "random 0"), (0.7, 0.1, 0.0))


def test_agreement_stands_beside_chance() -> None:
    data = xr.Dataset(
        {"jaccard": ("fraction", [0.2, 0.5]), "chance": ("fraction", [0.1, 0.3])}, coords={"fraction": [0.1, 0.5]}
    )
    (figure,) = figures(result(data))
    assert figure.numbers is not None
    assert [track.name for track in figure.numbers.tracks] == ["found", "chance"]
    pairs = xr.Dataset(
        {name: ("pair", RNG.random(10)) for name in ("jaccard", "chance")} | {"to_found": ("draw", RNG.random(5))}
    )
    (figure,) = figures(result(pairs))
    assert figure.numbers is not None and len(figure.numbers.tracks[0].x) == 3


def test_scored_edges_are_drawn_as_a_circuit_and_nothing_else() -> None:
    names = ["embed->L0.KV0.k", "L0.H1->L1.mlp", "L0.H3->logits", "embed->L0.KV1.v"]
    data = xr.Dataset(
        {"score": ("component", [0.5, -0.7, 0.0, 0.2])}, coords={"component": names}, attrs={"quantity": "effect"}
    )
    (figure,) = figures(result(data))
    assert figure.title == "Edges" and "the 3 largest of 4 edges" in figure.caption
    for name in ("embed-&gt;L0.KV0.k", "L0.H1-&gt;L1.mlp"):
        assert name in figure.picture
    assert 'class="own"' in figure.picture
    assert figure.picture.count("stroke-dasharray") >= 1  # the negative one


def test_curves_of_recovery_draw_themselves() -> None:
    values = np.sort(RNG.random((2, 3, 3)), axis=-1)[..., [1, 0, 2]]
    data = xr.Dataset(
        {"recovered": (("ranking", "fraction", "bound"), values),
         "kept": (("ranking", "fraction", "example"), RNG.random((2, 3, 4)))},
        coords={"ranking": ["signed", "random 0"], "fraction": [0.01, 0.1, 1], "bound": ["value", "low", "high"],
                "edges": (("ranking", "fraction"), [[1, 10, 100]] * 2)},
    )  # fmt: skip
    (figure,) = figures(result(data))
    assert figure.title == "What circuits recover" and "random circuits" in figure.picture


def test_no_kind_draws_what_is_not_its_own() -> None:
    other = xr.Dataset({"score": ("component", [0.1, 0.2])}, coords={"component": ["L0.H1", "L0.H2"]})
    assert pictures_of(other) == []
    assert all(isinstance(each, Picture) for each in pictures_of(xr.Dataset({"recovered": ("fraction", [1.0])})))


def scores(values: np.ndarray, **changes: object):  # type: ignore[no-untyped-def]
    return result(xr.Dataset({"score": ("component", values)}, coords={"component": HEADS}), **changes)


def test_estimates_are_held_against_exact_scores_of_the_same_data() -> None:
    exact = RNG.normal(size=20)
    steps = {
        "exact": scores(exact, step="exact", card={"intervenes": True, "cost": "a pass each"}),
        "eap": scores(0.5 * exact, step="eap", card={"intervenes": False, "cost": "two passes"}),
        "elsewhere": scores(
            exact, step="elsewhere", examples="other", card={"intervenes": True, "cost": "a pass each"}
        ),
        "norms": scores(exact, step="norms", card={"intervenes": False, "cost": "none: reads the weights"}),
    }
    (figure,) = estimates_against_exact("eap", steps)
    assert "R² 1.00, slope 0.50" in figure.caption
    assert figure.numbers is not None
    np.testing.assert_allclose(figure.numbers.tracks[0].x, exact)
    assert figure.picture.count("<circle") == 20
    assert estimates_against_exact("exact", steps) == []
    assert estimates_against_exact("norms", steps) == []


def test_a_stored_error_is_shown_part_by_part_and_with_its_intervals() -> None:
    ends = [0.9, 0.8, 0.95]
    data = xr.Dataset(
        {"r_squared": ("bound", ends), "spearman": ("bound", ends), "approximate": ("component", [1.0, 2.0, -1.0]),
         "exact": ("component", [1.5, 1.0, -2.0])},
        coords={"bound": ["value", "low", "high"], "component": ["a", "b", "c"]},
    )  # fmt: skip
    scatter, numbers = figures(result(data))
    assert scatter.numbers is not None and numbers.numbers is not None
    assert (scatter.numbers.tracks[0].x, scatter.numbers.tracks[0].y) == ((1.5, 1.0, -2.0), (1.0, 2.0, -1.0))
    assert numbers.numbers.tracks[0].x == ("R²", "spearman")
    assert numbers.numbers.tracks[0].low == (0.8, 0.8)
