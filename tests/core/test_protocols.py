"""Scores: ranking, selection, and lossless round trips."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assay.core.errors import DataError
from assay.core.protocols import Scores, head_name, parse_head


def scored() -> Scores:
    rows = np.array([[0.1, 0.3], [-0.9, -0.7], [0.5, 1 / 3]])
    return Scores.over_examples(["L0.H1", "L3.H2", "L3.mlp"], rows, "change in logit difference", ["noising"])


def test_values_are_the_means_over_examples() -> None:
    np.testing.assert_allclose(scored().values, [0.2, -0.8, 5 / 12], rtol=1e-15)  # exact up to one rounding
    assert scored()["L3.H2"] == pytest.approx(-0.8)


def test_ranking_by_value_and_by_size() -> None:
    assert scored().ranked() == ("L3.mlp", "L0.H1", "L3.H2")
    assert scored().top(1, absolute=True) == ("L3.H2",)


def test_ties_keep_their_order() -> None:
    assert Scores.of({"b": 1.0, "a": 1.0, "c": 2.0}, quantity="q").ranked() == ("c", "b", "a")


def test_a_cut_through_equal_scores_is_told() -> None:
    scores = Scores.of({"a": 1.0, "b": -2.0, "c": 1.0, "d": 2.0}, quantity="q")
    assert scores.tied(2) == ("a", "c")
    assert scores.tied(1) == scores.tied(3) == scores.tied(0) == scores.tied(4) == ()
    assert scores.tied(1, absolute=True) == ("b", "d")


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 scores are NaN, the first is b's"):
        Scores.of({"a": 1.0, "b": float("nan")}, quantity="q")


def test_selection_by_name() -> None:
    heads = scored().only(r"L\d+\.H\d+")
    assert heads.components == ("L0.H1", "L3.H2")
    assert heads.per_example is not None
    assert heads.per_example.shape == (2, 2)


def test_nothing_selected_is_refused() -> None:
    with pytest.raises(DataError, match=r"no component's whole name matches 'head'; the first is .* Heads, for one"):
        scored().only("head")


def test_heads_as_a_table() -> None:
    table = scored().heads()
    assert table.dims == ("layer", "head", "example") and table.shape == (2, 2, 2)
    assert table.sel(layer=3, head=2).mean().item() == pytest.approx(scored()["L3.H2"])
    assert np.isnan(table.sel(layer=0, head=2)).all()
    plain = Scores.of({"L0.H0": 1.0, "L0.H1": 2.0, "L1.H0": 3.0, "L1.H1": 4.0, "L0.mlp": 9.0}, quantity="q")
    assert plain.heads().values.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(DataError, match="none of these components is a head"):
        plain.only(r".*mlp").heads()


def test_figures_of_heads_and_of_others() -> None:
    heads = Scores.of({"L0.H0": 1.0, "L0.H1": -2.0, "L1.H0": 3.0, "L1.H1": 4.0}, quantity="q")
    assert heads.plot().data[0].z.tolist() == [[1, -2], [3, 4]]
    bars = Scores.of({"embed": 1.0, "L0.mlp": -5.0, "L1.mlp": 2.0}, quantity="q").plot(most=2).data[0]
    assert list(bars.x) == ["L0.mlp", "L1.mlp"] and list(bars.y) == [-5, 2]


def test_json_round_trip_is_exact() -> None:
    back = Scores.from_json(json.loads(json.dumps(scored().to_json())))
    assert back.components == scored().components
    assert back.facts == ("noising",)
    assert back.per_example is not None
    assert np.array_equal(back.values, scored().values)
    assert np.array_equal(back.per_example, scored().per_example)


@pytest.mark.parametrize("scores", [scored(), Scores.of({"embed": 1.0, "L0.mlp": 2.5}, quantity="norm")])
def test_dataset_round_trip_is_exact(scores: Scores) -> None:
    back = Scores.from_dataset(scores.to_dataset())
    assert back.components == scores.components
    assert back.quantity == scores.quantity
    assert np.array_equal(back.values, scores.values)


def test_newer_formats_and_bad_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="format 99"):
        Scores.from_json({**scored().to_json(), "format": 99})
    with pytest.raises(DataError, match="twice"):
        Scores(("a", "a"), np.zeros(2), "q")
    with pytest.raises(DataError, match="need as many values"):
        Scores(("a",), np.zeros(2), "q")


def test_an_unknown_component_shows_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no score for 'L3\.H3'\. Nearest: L3\.H2"):
        scored()["L3.H3"]


def test_head_names() -> None:
    assert parse_head(head_name(12, 3)) == (12, 3)
    with pytest.raises(DataError, match="not an attention head"):
        parse_head("L3.mlp")
