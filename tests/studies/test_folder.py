"""Stored results: exact round trips, tidy rows, damage noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from assay.core.errors import StorageError
from assay.studies.folder import RunFolder, StepResult


def stored(**changes: object) -> StepResult:
    rng = np.random.default_rng(0)
    data = xr.Dataset(
        {
            "effect": (("layer", "pos", "example"), rng.normal(size=(3, 2, 4))),
            "correct": (("example",), np.array([True, False, True, True])),
            "norm": (("layer",), np.array([0.1, np.nan, 1 / 3])),
            "total": ((), np.array(2.5)),
            "kept": (("fraction",), np.array([0.5, 1.0])),
        },
        coords={
            "layer": [0, 5, 9],
            "fraction": [0.01, 0.1],
            "pos": ["S2", "end"],
            "template": ("example", ["a", "b", "a", "b"]),
        },
        attrs={"quantity": "change", "facts": ["x"]},
    )
    fields = {
        "step": "patch", "key": "sha256:k", "method": "m", "settings": {"a": 1}, "examples": "test", "gives": "Result",
        "seconds": 1.5, "created": "2026-01-01T00:00:00+00:00", "data": data, "facts": ("f",), "cost": {"flops": None},
    }  # fmt: skip
    return StepResult(**(fields | changes))  # type: ignore[arg-type]


def test_a_result_survives_the_disk_exactly(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(stored())
    back = folder.load("patch")
    xr.testing.assert_equal(back.data, stored().data.assign_coords(example=range(4)))
    assert back.data["correct"].dtype == bool
    assert back.data.attrs == {"quantity": "change", "facts": ["x"]}
    assert (back.settings, back.facts, back.seconds) == ({"a": 1}, ("f",), 1.5)


def test_rows_are_tidy_for_anyone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(stored())
    table = pd.read_parquet(folder.result_path("patch"))
    assert list(table.columns) == ["variable", "layer", "pos", "example", "fraction", "value"]
    assert len(table) == 3 * 2 * 4 + 4 + 3 + 1 + 2
    row = table[(table.variable == "effect") & (table.layer == 5) & (table.pos == "end") & (table.example == 3)]
    assert row.value.item() == stored().data["effect"].sel(layer=5, pos="end").values[3]


def test_has_asks_for_the_very_same_key(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.has("patch", "sha256:k")
    folder.save(stored())
    assert folder.has("patch", "sha256:k")
    assert not folder.has("patch", "sha256:other")


def test_a_damaged_file_is_not_taken_for_a_result(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(stored())
    folder.result_path("patch").write_bytes(folder.result_path("patch").read_bytes()[:200])
    assert not folder.has("patch", "sha256:k")
    with pytest.raises(StorageError, match="can't be read"):
        folder.load("patch")


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.result_path("patch").parent.mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(folder.result_path("patch"))
    with pytest.raises(StorageError, match="not written by a study run"):
        folder.load("patch")


def test_the_log_grows_line_by_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log("a", n=1)
    folder.log("b")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["a", "b"]
    assert lines[0]["n"] == 1
