"""Figures of directions: every layer with its interval, chance beside it, and a monitor's measures."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assay.core.direction import Directions
from assay.studies.report.readings import directions, monitors, readings

RNG = np.random.default_rng(0)


def measured(*, layers: int = 4, n: int = 20) -> xr.Dataset:
    rows = (RNG.random((layers, n)) < 0.8).astype(float)
    data = xr.Dataset({"correct": (("layer", "example"), rows), "auroc": (("layer", "example"), rows)})
    data["majority"] = ((), 0.5)
    return data.assign_coords(layer=range(layers))


def test_readings_are_lines_with_chance_beside_them() -> None:
    data = measured()
    (drawn,) = readings(data)
    assert drawn.numbers is not None
    names = [each.name for each in drawn.numbers.tracks]
    assert names == ["share right", "AUROC", "the most frequent label"]
    np.testing.assert_allclose(drawn.numbers.tracks[0].y, data["correct"].mean("example").values)
    assert "20 pairs" in drawn.caption
    assert readings(measured(layers=2)) == [] and readings(data.drop_vars("majority")) == []


def test_a_monitor_has_a_row_for_each_measure() -> None:
    names = ("correct", "auroc", "caught", "false_alarms", "brier")
    data = xr.Dataset({name: (("example",), RNG.random(12)) for name in names})
    data["auroc_by_wording"] = (("wording",), np.array([0.9, 0.4]))
    whole, wordings = monitors(data.assign_coords(wording=["a", "b"]))
    assert all(
        words in str(whole.picture) for words in ("share right", "AUROC", "caught", "false alarms", "Brier score")
    )
    assert wordings.title == "By wording" and "0.4" in str(wordings.picture)
    assert monitors(data.drop_vars("brier")) == []


def test_directions_show_where_they_were_found_and_how_alike_they_are() -> None:
    vectors = {f"L{i}.resid_post": [1.0, 0.0, float(i)] for i in range(3)}
    found = Directions.of(vectors, quantity="share of prompts given their label", per_example=RNG.random((3, 10)))
    lines, cosines = directions(found.to_dataset())
    assert "Share of prompts given their label" in lines.caption
    assert cosines.data is not None
    assert cosines.data["values"][0][:2] == [1.0, 0.7071]  # of [1, 0, 0] with itself, and with [1, 0, 1]
    assert directions(found.take(["L0.resid_post"]).to_dataset()) == []
