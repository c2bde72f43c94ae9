"""The same, within tolerance, or different: for estimates, for tables, and for two machines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from assay.studies.conclusion import Number
from assay.studies.verify.agreement import OTHER_KERNELS, numbers_agree, tables_agree
from assay.studies.verify.machine import differences


def number(value: float | None, low: float | None = None, high: float | None = None) -> Number:
    return Number(value=value, low=low, high=high, n=9, method="m", level=0.95, text=str(value))


@pytest.mark.parametrize(("one", "other", "tolerance", "scale", "standing", "by"), [
    (number(1.0, 0.5, 1.5), number(1.0, 0.5, 1.5), 0.0, 0.0, "same", 0.0),
    (number(1.0), number(1.0 + 1e-9), 0.0, 0.0, "differs", 1e-9),
    (number(1.0), number(1.00005), OTHER_KERNELS, 0.0, "within tolerance", 5e-5),
    (number(1.0), number(1.0002), OTHER_KERNELS, 0.0, "differs", 2e-4),
    (number(-3.0), number(3.0), OTHER_KERNELS, 0.0, "differs", 6.0),
    (number(1e-9), number(2e-9), OTHER_KERNELS, 0.0, "differs", 1e-9),
    (number(1e-9), number(2e-9), OTHER_KERNELS, 0.1, "within tolerance", 1e-9),  # beside an effect of 0.1 it is nothing
    (number(1.0, 0.5, 1.5), number(1.0, 0.4, 1.5), OTHER_KERNELS, 0.0, "differs", 0.0),
    (number(None), number(None), 0.0, 0.0, "same", None),
    (number(1.0), number(None), OTHER_KERNELS, 0.0, "differs", None),
])  # fmt: skip
def test_numbers(one: Number, other: Number, tolerance: float, scale: float, standing: str, by: float | None) -> None:
    found = numbers_agree("q", one, other, tolerance=tolerance, scale=scale)
    assert found.standing == standing
    assert found.by == (None if by is None else pytest.approx(by, rel=1e-6))
    if standing == "differs":
        assert found.said


def table(values: Any, **coords: Any) -> xr.DataArray:
    return xr.DataArray(np.array(values), dims=("layer", "example"), coords={"layer": [3, 4], **coords})


BASE = [[1.0, 2.0, np.nan], [-4.0, 0.0, 1e-6]]


@pytest.mark.parametrize(("change", "standing", "says"), [
    ((0, 0, 1.0), "same", ""),
    ((0, 0, 1.0 + 3e-4), "within tolerance", ""),  # 1e-4 of the largest number, which is 4
    ((0, 0, 1.0 + 5e-4), "differs", "1 of 6 numbers differ, by 0.0005 at most; first layer 3"),
    ((1, 1, 0.1), "differs", "first layer 4, example 1"),
    ((0, 2, 7.0), "differs", "1 of 6"),
    ((1, 2, np.nan), "differs", "1 of 6"),
    ((1, 2, np.inf), "differs", "1 of 6"),
])  # fmt: skip
def test_tables(change: tuple[int, int, float], standing: str, says: str) -> None:
    before, after = table(BASE, example=[0, 1, 2]), table(BASE, example=[0, 1, 2])
    after.values[change[0], change[1]] = change[2]
    found = tables_agree("s.v", before, after, tolerance=OTHER_KERNELS)
    assert found.standing == standing and says in found.said


def test_yes_and_no_have_no_tolerance() -> None:
    before = table([[True, False, True], [True, True, True]])
    after = before.copy(deep=True)
    assert tables_agree("s.v", before, after, tolerance=OTHER_KERNELS).standing == "same"
    after.values[1, 1] = False
    assert tables_agree("s.v", before, after, tolerance=OTHER_KERNELS).standing == "differs"


def test_other_places_are_told() -> None:
    before = table(BASE)
    assert "another shape" in tables_agree("s.v", before, before[:1], tolerance=1.0).said
    moved = before.assign_coords(layer=[3, 5])
    assert "1 of 2 labels of layer are others" in tables_agree("s.v", before, moved, tolerance=1.0).said
    turned = before.transpose("example", "layer")
    assert tables_agree("s.v", before, turned, tolerance=0.0).standing == "same"


def test_machines() -> None:
    here = {
        "versions": {"torch": "2.7", "numpy": "2.0"}, "system": "Linux", "machine": "x86_64", "vectors": "AVX2",
        "accelerator": None, "threads": 1, "cpus": 2,
    }  # fmt: skip
    assert differences(here, here | {"cpus": 64}) == (), "how many there are changes no sum, only how many are used"
    assert differences(here, here | {"threads": 2}) == ("threads 1 → 2",)
    assert differences(here, here | {"vectors": "AVX512"}) == ("vector instructions AVX2 → AVX512",)
    other = here | {"versions": {"torch": "2.8", "scipy": "1"}, "accelerator": "X"}
    assert differences(here, other) == (
        "numpy 2.0 → absent",
        "scipy absent → 1",
        "torch 2.7 → 2.8",
        "accelerator none → X",
    )
