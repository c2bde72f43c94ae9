"""Pictures that results have of their own: registered once, asked with the numbers alone."""

from __future__ import annotations

import pytest
import xarray as xr
from markupsafe import Markup

from assay.core import pictures as module
from assay.core.pictures import Picture, pictures, pictures_of


def test_only_those_that_know_a_result_draw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures_of(xr.Dataset())  # what is registered on import goes where it belongs first
    monkeypatch.setattr(module, "_DRAWERS", {})

    @pictures
    def of_mine(data: xr.Dataset) -> list[Picture]:
        return [Picture(Markup("<svg></svg>"), f"{float(data['mine']):g}")] if "mine" in data else []

    pictures(of_mine)  # a module that is imported again registers nothing twice
    assert [each.caption for each in pictures_of(xr.Dataset({"mine": 2.0}))] == ["2"]
    assert pictures_of(xr.Dataset({"other": 2.0})) == []


def test_listing_methods_registers_what_assays_folders_draw() -> None:
    assert pictures_of(xr.Dataset()) == []
    assert {"assay.circuits.drawing.stored.scored_edges", "assay.circuits.drawing.stored.recovery"} <= set(
        module._DRAWERS
    )
