"""Figures of labelled arrays: a heatmap over two axes, a line over one, bars over names.

Examples are averaged; the shaded band or the hover text is the 95% interval of that mean by Student's t, which takes
the examples as independent draws. Token labels are taken from a coordinate named "token" that lies along the axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from scipy.stats import t as student

from assay.core.errors import ExperimentError

EXAMPLE = "example"
_HORIZONTAL = ("pos", "position", "head", "component")
"""Axes that run from left to right when there is a choice, the first of them first."""


def figure(array: xr.DataArray, select: Mapping[str, Any]) -> go.Figure:
    """The figure that suits the array's axes, after `select` has picked places on some."""
    chosen = _selected(array, select)
    n = chosen.sizes.get(EXAMPLE, 0)
    half = _half_width(chosen) if n > 1 else None
    values = chosen.mean(EXAMPLE) if n else chosen
    drawn = _drawn(values, half)
    drawn.update_layout(title=_title(array, select, n), template="plotly_white")
    return drawn


def _drawn(values: xr.DataArray, half: xr.DataArray | None) -> go.Figure:
    if values.ndim > 2:
        axes = ", ".join(map(str, values.dims))
        raise ExperimentError(
            f"{values.name!r} has the axes {axes}, and a figure shows two: pick a place on the others, "
            f"plot({values.name!r}, {values.dims[-1]}={_first(values)!r})."
        )
    if values.ndim == 2:
        return _heatmap(values, half)
    if values.ndim == 1 and not _is_named(values):
        return _line(values, half)
    return _bars(values, half)


def _heatmap(values: xr.DataArray, half: xr.DataArray | None) -> go.Figure:
    across = next((dim for dim in _HORIZONTAL if dim in values.dims), values.dims[1])
    down = next(dim for dim in values.dims if dim != across)
    values = values.transpose(down, across)
    hover = f"{down} %{{y}}<br>{across} %{{x}}<br>{values.name} %{{z:.4g}}"
    if half is not None:
        hover += " ± %{customdata:.2g}"
    trace = go.Heatmap(
        z=values.values,
        x=_labels(values, across),
        y=_labels(values, down),
        customdata=None if half is None else half.transpose(down, across).values,
        hovertemplate=hover + "<extra></extra>",
        colorbar={"title": str(values.name)},
        **_colours(values.values),
    )
    drawn = go.Figure(trace)
    return drawn.update_layout(
        xaxis={"title": str(across), "type": "category"}, yaxis={"title": str(down), "type": "category"}
    )


def _line(values: xr.DataArray, half: xr.DataArray | None) -> go.Figure:
    dim = values.dims[0]
    labels, numbers = _labels(values, dim), values.values
    drawn = go.Figure()
    if half is not None:
        band = np.concatenate([numbers + half.values, (numbers - half.values)[::-1]])
        shade = {"fill": "toself", "line": {"width": 0}, "opacity": 0.3, "hoverinfo": "skip"}
        drawn.add_scatter(x=[*labels, *labels[::-1]], y=band, name="95% interval", mode="lines", **shade)
    drawn.add_scatter(x=labels, y=numbers, name=str(values.name), mode="lines+markers")
    kind = {"type": "category"} if labels and isinstance(labels[0], str) else {}
    return drawn.update_layout(xaxis={"title": str(dim), **kind}, yaxis={"title": str(values.name)}, showlegend=False)


def _bars(values: xr.DataArray, half: xr.DataArray | None) -> go.Figure:
    labels = _labels(values, values.dims[0]) if values.ndim else [str(values.name)]
    error = None if half is None else {"type": "data", "array": np.atleast_1d(half.values)}
    drawn = go.Figure(go.Bar(x=labels, y=np.atleast_1d(values.values), error_y=error))
    return drawn.update_layout(xaxis={"type": "category"}, yaxis={"title": str(values.name)})


def _selected(array: xr.DataArray, select: Mapping[str, Any]) -> xr.DataArray:
    for dim, place in select.items():
        if dim not in array.dims:
            axes = ", ".join(map(str, array.dims)) or "none"
            raise ExperimentError(f"{dim!r} is not an axis of {array.name!r}: its axes are {axes}.")
        try:
            array = array.sel({dim: place}) if dim in array.coords else array.isel({dim: place})
        except (KeyError, IndexError, TypeError) as error:
            raise ExperimentError(f"{place!r} is not on the axis {dim!r} of {array.name!r}.") from error
    return array


def _half_width(array: xr.DataArray) -> xr.DataArray:
    """Half of the 95% interval of the mean over examples, those without a value left out."""
    n = array.count(EXAMPLE)
    spread = array.std(EXAMPLE, ddof=1) / np.sqrt(n.where(n > 1))
    half: xr.DataArray = spread * student.ppf(0.975, n.where(n > 1) - 1)
    return half


def _labels(values: xr.DataArray, dim: Any) -> list[Any]:
    places = values[dim].values.tolist() if dim in values.coords else list(range(values.sizes[dim]))
    tokens = values.coords.get("token")
    if tokens is None or tokens.dims != (dim,):
        return places
    return [f"{place}: {token}" for place, token in zip(places, tokens.values.tolist(), strict=True)]


def _colours(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() < 0 < finite.max():
        return {"colorscale": "RdBu", "reversescale": True, "zmid": 0.0}
    return {"colorscale": "Viridis"}


def _is_named(values: xr.DataArray) -> bool:
    dim = values.dims[0]
    return dim in values.coords and values[dim].dtype.kind in "OUTS"


def _first(values: xr.DataArray) -> Any:
    return _labels(values, values.dims[-1])[0]


def _title(array: xr.DataArray, select: Mapping[str, Any], n: int) -> str:
    places = ", ".join(f"{dim} {place}" for dim, place in select.items())
    examples = f"mean of {n} examples, ± its 95% interval" if n > 1 else ""
    return " · ".join(part for part in (str(array.name), places, examples) if part)
