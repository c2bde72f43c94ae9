"""Figures of results with a meaning of their own, told by their variables: alignments, effects, circuits, agreement.

iia by layer × position         a heatmap for each variable of the causal model; chance and other baselines below
total, direct, indirect …       effects of each node side by side, with intervals
recovered by circuit            the circuit found beside random ones
jaccard beside chance           agreement by size, or pair by pair
    approximate beside exact        a point for each part (`scatter`)
    directions and monitors         what is read by layer, what is caught (`readings`)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from assay.studies.report.axes import Series
from assay.studies.report.charts import bars, lines, points
from assay.studies.report.drawn import Drawn
from assay.studies.report.heatmap import Grid, heatmap
from assay.studies.report.means import EXAMPLE, means
from assay.studies.report.readings import directions, monitors, readings
from assay.studies.report.scatter import stored_error

EFFECTS = ("total", "direct", "indirect", "interaction")
BASELINES = ("chance", "random", "untrained", "does_task")
MOST_NODES = 24


def alignments(data: xr.Dataset) -> list[Drawn]:
    """IIA by layer (or site) and position, one figure for each variable."""
    if "iia" not in data or "variable" not in data["iia"].dims or data["iia"].ndim != 3:
        return []
    down, across = (str(dim) for dim in data["iia"].dims if dim != "variable")
    found = []
    for variable in data["variable"].values.tolist():
        one = data.sel(variable=variable)
        values = one["iia"].transpose(down, across)
        half = None
        if "iia_low" in one and "iia_high" in one:
            half = ((one["iia_high"] - one["iia_low"]) / 2).transpose(down, across).values
        rows, columns = ([str(each) for each in one[dim].values] for dim in (down, across))
        grid = Grid(tuple(rows), tuple(columns), values.values, half, down, _named(across), f"IIA of {variable}")
        caption = (
            f"Interchange intervention accuracy of {variable}: the share of examples on which the network answers as the "
            f"causal model does after the swap.{_beside(one)} Half widths: Wilson, 95 %."
        )
        found.append(heatmap(grid, caption, limit=1.0, title=f"IIA of {variable}"))
    return found


def _beside(one: xr.Dataset) -> str:
    """What each baseline reaches, at most."""
    said = []
    for name in BASELINES:
        if name in one and one[name].size and np.isfinite(one[name].values.astype(float)).any():
            value = float(np.nanmax(one[name].values.astype(float)))
            words = {"does_task": "the network does the task on", "chance": "chance is"}.get(
                name, f"{name} reaches at most"
            )
            said.append(f"{words} {value:.2f}")
    text = "; ".join(said)
    return f" {text[:1].upper()}{text[1:]}." if text else ""


def effects(data: xr.Dataset) -> list[Drawn]:
    """Effects of each node side by side: those with the largest total effect first."""
    names = [name for name in EFFECTS if name in data and set(data[name].dims) == {"node", EXAMPLE}]
    if len(names) < 2:
        return []
    first = means(data[names[0]])
    chosen: Any = np.argsort(-np.abs(first.value.values), kind="stable")[:MOST_NODES].tolist()
    series = []
    for name in names:
        found = means(data[name])
        low, high = (None if end is None else end.values[chosen] for end in (found.low, found.high))
        places = [float(i) for i in range(len(chosen))]
        series.append(Series(name, places, found.value.values[chosen], low, high))
    nodes = [str(data["node"].values[i]) for i in chosen]
    caption = (
        "Total effect of each part on the metric, and what of it goes by itself (direct), through later parts (indirect), and "
        f"neither alone (interaction). Intervals: 95 %, Student's t, over {first.n} examples."
    )
    return [bars(nodes, series, caption, titles=("part", "effect on the metric"), title="Effects")]


def circuits(data: xr.Dataset) -> list[Drawn]:
    """What a circuit recovers, beside random circuits of its size."""
    if "recovered" not in data or set(data["recovered"].dims) != {"circuit", "bound"}:
        return []
    values = data["recovered"].transpose("circuit", "bound").sel(bound=["value", "low", "high"]).values
    names = [str(name) for name in data["circuit"].values]
    rows = [
        (name, float(row[0]), float(row[1]), float(row[2]), 2 if name.startswith("random") else 0)
        for name, row in zip(names, values, strict=True)
    ]
    order = sorted(rows, key=lambda row: (row[4], -row[1]))
    n = data.sizes.get(EXAMPLE, 0)
    said = "Share of the metric recovered: 1 is the whole model, 0 the empty circuit."
    caption = f"{said} Intervals: 95 %, bootstrap over {n} examples."
    return [points(order, caption, ("share of the metric recovered", "Beside random circuits"))]


def agreement(data: xr.Dataset) -> list[Drawn]:
    """How far two circuits agree by size, beside circuits drawn at random; or a circuit with those found on other draws."""
    if "jaccard" not in data or "chance" not in data:
        return []
    if data["jaccard"].dims == ("fraction",) and data["chance"].dims == ("fraction",):
        sizes = [float(each) for each in data["fraction"].values]
        series = [Series(name, sizes, data[kind].values) for name, kind in (("found", "jaccard"), ("chance", "chance"))]
        caption = "Jaccard index of the two sets at each size, and of two drawn at random. No intervals: one pair."
        return [lines(series, caption, ("fraction of the parts", "Jaccard index"), log=min(sizes) > 0)]
    rows = [_spread("between draws", data["jaccard"].values, 0), _spread("random circuits", data["chance"].values, 2)]
    if "to_found" in data:
        rows.insert(0, _spread("draws and the circuit", data["to_found"].values, 0))
    caption = "Jaccard index: the median, and from the 2.5 to the 97.5 percentile of all pairs."
    return [points(rows, caption, ("Jaccard index", "Stability"))]


def _spread(name: str, values: np.ndarray, colour: int) -> tuple[str, float, float, float, int]:
    low, middle, high = np.quantile(values.astype(float), [0.025, 0.5, 0.975])
    return name, float(middle), float(low), float(high), colour


def _named(axis: str) -> str:
    return {"pos": "position"}.get(axis, axis)


MAKERS: tuple[Callable[[xr.Dataset], list[Drawn]], ...] = (
    alignments,
    effects,
    circuits,
    agreement,
    stored_error,
    readings,
    monitors,
    directions,
)
