"""Figures: which one a result gets, that its numbers are the result's, and that nothing odd breaks it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

from assay.core.protocols import Scores
from assay.core.svg import Scale, extent, number, shade, tag
from assay.stats.proportion import wilson_of
from assay.studies.folder import StepResult
from assay.studies.report.choose import figures
from assay.studies.report.drawn import Drawn
from assay.studies.report.means import means, shares
from assay.studies.report.page import as_json
from assay.studies.report.palette import colours
from assay.studies.report.tables import tables

RNG = np.random.default_rng(0)


def result(data: xr.Dataset, **changes: Any) -> StepResult:
    fields: dict[str, Any] = {
        "step": "s",
        "key": "k",
        "method": "m",
        "settings": {},
        "examples": "test",
        "seconds": 1.0,
    }
    return StepResult(**(fields | {"gives": "Result", "created": "", "data": data} | changes))


def drawn(data: xr.Dataset) -> list[Drawn]:
    return figures(result(data))


def test_heads_become_layers_by_heads_with_their_means() -> None:
    names = [f"L{layer}.H{head}" for layer in range(4) for head in range(5)]
    rows = RNG.normal(size=(20, 6))
    (figure,) = drawn(Scores.over_examples(names, rows, "share").to_dataset())
    assert figure.data is not None
    assert (figure.data["rows"], figure.data["columns"]) == (tuple("0123"), tuple("01234"))
    np.testing.assert_allclose(figure.data["values"], rows.mean(1).reshape(4, 5), rtol=1e-3)  # written with 4 digits
    assert figure.picture.count('<rect x="') >= 20


def test_heads_and_mlps_together_become_a_heatmap_and_bars() -> None:
    names = (
        ["embed"] + [f"L{layer}.H{head}" for layer in range(4) for head in range(5)] + [f"L{i}.mlp" for i in range(4)]
    )
    found = drawn(Scores.over_examples(names, RNG.normal(size=(25, 6)), "direct").to_dataset())
    assert [each.title for each in found] == ["Heads", "MLPs"]
    assert "embed" in found[1].caption


def test_attention_and_mlp_layers_become_bars_side_by_side() -> None:
    names = [f"L{i}.{kind}" for kind in ("attn", "mlp") for i in range(3)]
    (figure,) = drawn(Scores.over_examples(names, RNG.normal(size=(6, 5)), "share").to_dataset())
    assert figure.picture.count('class="bar"') == 6
    assert "attention" in figure.picture


def test_layers_by_positions_and_a_share_before_the_raw_number() -> None:
    values = RNG.normal(size=(4, 3, 5))
    data = xr.Dataset(
        {"logit_diff": (("layer", "pos", "example"), values), "share": (("layer", "pos", "example"), values / 2)},
        coords={"layer": range(4), "pos": ["S1", "S2", "end"]},
    )
    (figure,) = drawn(data)
    assert figure.data is not None
    np.testing.assert_allclose(figure.data["values"], values.mean(2) / 2, rtol=1e-3)  # written with 4 digits


def test_a_number_for_each_layer_becomes_a_line() -> None:
    found = drawn(xr.Dataset({"correct": (("layer", "example"), RNG.random((6, 9)) > 0.5)}, coords={"layer": range(6)}))
    assert len(found) == 1
    assert found[0].picture.count("<circle") == 6


@pytest.mark.parametrize("fractions", [(), (0.1, 0.1, 0.5)])
def test_kept_sets_stand_beside_random_ones(fractions: tuple[float, ...]) -> None:
    dims, shape = (("fraction",), (len(fractions),)) if fractions else ((), ())
    data = xr.Dataset(
        {
            "kept": (("ranking", *dims, "example"), RNG.normal(1, 0.1, (2, *shape, 8))),
            "kept_random": (("set", *dims, "example"), RNG.normal(0, 0.1, (3, *shape, 8))),
            "all": ("example", RNG.normal(1, 0.1, 8)),
            "none": ("example", RNG.normal(0, 0.1, 8)),
        },
        coords={"ranking": ["found", "rival"], "set": ["random 0", "random 1", "random 2"]}
        | ({"fraction": list(fractions), "heads": ("fraction", [1, 1, 5])} if fractions else {}),
    )
    (figure,) = drawn(data)
    for name in ("random", "found" if fractions else "chosen"):
        assert name in figure.picture


def test_patterns_go_along_for_every_head_and_tokens_are_escaped() -> None:
    tokens = ["0|<b>", "1| &", "2|\n"]
    pattern = np.tril(RNG.random((2, 3, 3)))
    data = xr.Dataset(
        {"pattern": (("head", "query", "key"), pattern)},
        coords={"head": ["L0.H1", "L2.H3"], "query": tokens, "key": tokens},
        attrs={"shown": 1},
    )
    figure = drawn(data)[0]
    assert figure.data is not None
    assert figure.data["heads"] == ["L0.H1", "L2.H3"]
    assert [len(row) for row in figure.data["pattern"][0]] == [1, 2, 3]
    assert figure.data["pattern"][1][2][1] == pytest.approx(pattern[1, 2, 1], abs=1e-4)  # written with 4 decimals
    assert "<b>" not in figure.picture
    assert "&lt;b&gt;" in figure.picture


def test_other_shapes_get_a_table_and_no_figure() -> None:
    data = xr.Dataset({"odd": (("a", "b", "c"), RNG.normal(size=(2, 3, 4)))}, coords={"a": ["x", "y"]})
    assert drawn(data) == []
    (table,) = tables(result(data))
    assert len(table.rows) == 24


def test_no_number_is_drawn_for_what_is_missing() -> None:
    values = np.full((3, 2, 4), np.nan)
    values[0] = 1.0
    (figure,) = drawn(xr.Dataset({"share": (("layer", "pos", "example"), values)}, coords={"pos": ["a", "b"]}))
    assert figure.data is not None
    assert figure.data["values"][2] == [None, None]
    assert figure.picture.count('class="na"') == 4
    assert "nan" not in figure.picture.lower()


def test_tables_hold_means_and_intervals_the_largest_first() -> None:
    rows = np.array([[0.1, 0.3], [-5.0, -7.0], [1.0, 2.0]])
    (table,) = tables(result(Scores.over_examples(["a", "b", "c"], rows, "q").to_dataset()))
    assert [row[0].text for row in table.rows] == ["b", "c", "a"]
    assert [row[1].text for row in table.rows] == ["−6.00", "1.50", "0.20"]
    assert table.numeric == (False, True, True)


def test_means_have_students_interval() -> None:
    found = means(xr.DataArray([1.0, 2.0, 3.0], dims="example"))
    assert found.low is not None
    assert float(found.value) - float(found.low) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)  # t(0.975, 2) · s / √n


def test_shares_run_from_nothing_kept_to_all_kept() -> None:
    none, whole = RNG.normal(0, 0.1, 50), RNG.normal(2, 0.1, 50)
    value, low, high = shares(np.stack([none, whole, (none + whole) / 2]), none, whole)
    assert value == pytest.approx([0, 1, 0.5])
    assert (low <= value + 1e-12).all() and (high >= value - 1e-12).all()


def test_shades_are_strongest_at_the_limit_and_plain_at_nothing() -> None:
    assert [shade(x, 2.0, signed=True) for x in (-3.0, -2.0, 0.0, 2.0)] == ["d0", "d0", "d20", "d40"]
    assert [shade(x, 2.0, signed=False) for x in (-1.0, 0.0, 2.0)] == ["s0", "s0", "s20"]
    assert shade(float("nan"), 1.0, signed=True) == "na"
    assert len(set(re.findall(r"--d\d+:", colours(dark=True)))) == 41


def test_scales_keep_to_their_ends_and_ticks_are_round() -> None:
    scale = Scale(0.0, 10.0, 100.0, 200.0)
    assert [scale(x) for x in (-5.0, 0.0, 5.0, 99.0)] == [100.0, 100.0, 150.0, 200.0]
    assert Scale(-1.69, 0.82, 0, 1).ticks(5) == pytest.approx([-1.5, -1.0, -0.5, 0.0, 0.5])
    assert extent([float("nan")]) == pytest.approx((-0.05, 1.05))


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.5, "−0.50"), (12345.6, "12,346"), (2.2e-5, "2.2e−05"), (float("inf"), "–")]
)
def test_numbers_are_written_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_what_goes_into_attributes_and_scripts_can_not_get_out() -> None:
    assert str(tag("text", "<x>", data_tip='"><script>')) == '<text data-tip="&#34;&gt;&lt;script&gt;">&lt;x&gt;</text>'
    assert "</" not in as_json({"a": "</script>"})
    assert "<" not in as_json(["<!--", "\u2028"])


def test_right_answers_get_an_interval_that_knows_how_few_they_are() -> None:
    """Student's t is [1, 1] where all are right and leaves 0 to 1 where one is wrong; Wilson's is what verdicts have."""
    right = xr.DataArray(np.array([[True] * 6, [True] * 5 + [False]]), dims=("layer", "example"))
    found = means(right)
    assert found.low is not None and found.high is not None and found.how == "Wilson's"
    for row, low, high in zip(right.values, found.low.values, found.high.values, strict=True):
        expected = wilson_of(row)
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert means(right.astype(float)).how == "Student's t"
