"""Results: what is saved comes back, damage is noticed, tables and figures show what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from assay.core.errors import AssayError, ExperimentError, StorageError
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result

PROVENANCE = Provenance.now(
    model_fingerprint="sha256:" + "a" * 64, model_source="tiny", experiment_hash="sha256:" + "b" * 64, facts=["no BOS"]
)


def result(**variables: Any) -> Result:
    data = xr.Dataset(variables, attrs={"note": "x"})
    return Result(data, PROVENANCE, Cost(passes=3, rows=12, token_layers=1234, seconds=0.5))


def grid(*, examples: int = 0, name: str = "logit_diff") -> xr.DataArray:
    shape = (2, 3, examples) if examples else (2, 3)
    dims = ("layer", "pos", "example") if examples else ("layer", "pos")
    values = np.random.default_rng(0).normal(size=shape)
    coords = {"layer": [0, 1], "pos": [0, 1, 2], "token": ("pos", ["The", " cat", " sat"])}
    return xr.DataArray(values, dims=dims, coords=coords, name=name, attrs={"units": "nats"})


def test_a_variable_by_name_and_a_near_miss() -> None:
    made = result(logit_diff=grid())
    assert made["logit_diff"].dims == ("layer", "pos")
    assert "logit_diff" in made and "loss" not in made
    with pytest.raises(ExperimentError) as caught:
        made["logit_dif"]
    assert str(caught.value) == "'logit_dif' is not in this result: it has logit_diff. Nearest: logit_diff."


def test_saved_and_loaded_are_identical(tmp_path: Path) -> None:
    mixed = np.array(["subject", 3, None], dtype=object)
    made = result(
        logit_diff=grid(examples=4),
        flag=("component", np.array([True, False])),
        half=("component", np.array([1.0, np.nan], dtype=np.float16)),
        one=((), 3),
        empty=("none", np.zeros(0)),
        mixed=("place", mixed),
    ).data.assign_coords(component=["L0.H1", "L3.mlp"])
    saved = Result(made, PROVENANCE, Cost(passes=1))
    path = saved.save(tmp_path / "deep" / "r.npz")
    loaded = Result.load(path)
    xr.testing.assert_identical(loaded.data, made)
    assert loaded.data["half"].dtype == np.float16
    assert loaded.provenance == saved.provenance and loaded.cost == saved.cost
    assert [p.name for p in path.parent.iterdir()] == ["r.npz"]


@settings(max_examples=25, deadline=None)
@given(
    arrays(
        st.sampled_from([np.dtype(np.float32), np.dtype(np.int64), np.dtype(bool)]),
        array_shapes(max_dims=3, max_side=3),
    )
)
def test_any_array_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("r") / "r"
    made = result(x=(tuple(f"d{i}" for i in range(values.ndim)), values))
    back = Result.load(made.save(path))["x"].values
    assert back.dtype == values.dtype and back.tobytes() == values.tobytes()


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = result(logit_diff=grid()).save(tmp_path / "r.npz")
    content = path.read_bytes()
    reference = Result.load(path).data
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= int(random.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            loaded = Result.load(path)
        except AssayError:
            continue
        xr.testing.assert_identical(loaded.data, reference)  # zip fields that nobody reads
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StorageError, match="is damaged or not a result of assay"):
        Result.load(path)


def test_a_missing_file_and_one_of_a_newer_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"cannot read the result .*none: No such file or directory\."):
        Result.load(tmp_path / "none")
    monkeypatch.setattr("assay.core.result_files.FORMAT", 2)
    path = result(logit_diff=grid()).save(tmp_path / "r")
    monkeypatch.undo()
    with pytest.raises(StorageError, match=r"written by a newer assay: the result has format 2, .* reads up to 1"):
        Result.load(path)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    np.savez(path, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StorageError, match="damaged or not a result"):
        Result.load(path)


def test_tables() -> None:
    made = result(a=grid(), b=grid(name="b"))
    table = made.to_dataframe()
    assert list(table.columns)[:2] == ["layer", "pos"] and {"a", "b"} <= set(table.columns) and len(table) == 6
    assert len(made.to_dataframe("a").columns) == len(table.columns) - 1
    single = result(a=((), 2.0)).to_dataframe()
    assert single["a"].tolist() == [2.0]
    with pytest.raises(ExperimentError, match=r"different axes \(a over layer, pos; c over layer\): name one"):
        result(a=grid(), c=("layer", [1.0, 2.0])).to_dataframe()


def test_a_heatmap_has_layers_up_and_tokens_across() -> None:
    figure = result(logit_diff=grid().transpose("pos", "layer")).plot()
    trace = figure.data[0]
    assert trace.type == "heatmap"
    assert list(trace.x) == ["0: The", "1:  cat", "2:  sat"] and list(trace.y) == [0, 1]
    assert np.array_equal(np.array(trace.z), grid().values)
    assert trace.zmid == 0.0


def test_a_mean_over_examples_says_how_uncertain_it_is() -> None:
    array = grid(examples=5)
    figure = result(logit_diff=array).plot(layer=1)
    band, line = figure.data
    assert np.allclose(line.y, array.sel(layer=1).mean("example"))
    # Student's t, 4 degrees of freedom: 2.7764 standard errors
    half = 2.7764451 * array.sel(layer=1).std("example", ddof=1) / np.sqrt(5)
    assert np.allclose(np.array(band.y)[:3] - line.y, half, atol=1e-6)
    assert figure.layout.title.text == "logit_diff · layer 1 · mean of 5 examples, ± its 95% interval"


def test_components_are_bars_and_one_number_is_one_bar() -> None:
    named = xr.DataArray([1.0, 2.0], dims="component", coords={"component": ["L0.H1", "L0.H2"]})
    assert result(x=named).plot().data[0].type == "bar"
    assert list(result(x=((), 1.5)).plot().data[0].y) == [1.5]
    assert result(x=("layer", [1.0, 2.0])).plot().data[0].type == "scatter"


def test_one_example_has_no_interval() -> None:
    assert result(x=grid(examples=1)).plot().layout.title.text == "x"


def test_too_many_axes_are_refused_with_what_to_do() -> None:
    array = xr.DataArray(np.zeros((2, 2, 2)), dims=("layer", "pos", "head"))
    with pytest.raises(ExperimentError, match=r"the axes layer, pos, head.*plot\('x', head=0\)"):
        result(x=array).plot()
    assert result(x=array).plot(head=1).data[0].type == "heatmap"
    with pytest.raises(ExperimentError, match="'haed' is not an axis of 'x'"):
        result(x=array).plot(haed=1)
    with pytest.raises(ExperimentError, match="9 is not on the axis 'head'"):
        result(x=array).plot(head=9)


def test_what_is_printed() -> None:
    made = result(logit_diff=grid(), one=((), 2.5))
    text = repr(made)
    assert text.startswith("Result\n  logit_diff  (layer 2, pos 3)  from ")
    assert "one  2.5" in text
    assert "from tiny (aaaaaaaaaaaa), experiment bbbbbbbbbbbb" in text
    assert "3 passes, 12 rows, 1,234 token-layers, 0.50 s" in text and "note: no BOS" in text
    assert "token-layers" in made._repr_html_()


def test_text_in_html_is_escaped() -> None:
    made = Result(xr.Dataset(), Provenance(model_source="<script>x</script>"), Cost())
    assert "<script>" not in made._repr_html_().split("<p>")[-1]
