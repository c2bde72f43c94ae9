"""Figures of directions: what they read by layer, how alike they are, and what a monitor made of one catches.

correct, auroc by layer              two lines with intervals, and what blind guessing gets
auroc, caught, false_alarms …        a row for each measure of a monitor, and AUROC for each wording
vector by direction                  what was measured of each by layer; cosines between layers
"""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from assay.studies.report.axes import Series
from assay.studies.report.charts import bars, lines, points
from assay.studies.report.drawn import Drawn
from assay.studies.report.heatmap import Grid, heatmap
from assay.studies.report.means import EXAMPLE, means

INTERVALS = (
    "Intervals: 95 % over {n} pairs (Student's t; Wilson's for right or wrong), both prompts of a pair together."
)
MEASURES = {
    "correct": "share right",
    "auroc": "AUROC",
    "caught": "caught",
    "false_alarms": "false alarms",
    "brier": "Brier score",
}
_LAYER = re.compile(r"^L(\d+)\.")
_FEWEST = 3


def readings(data: xr.Dataset) -> list[Drawn]:
    """What directions read on prompts, layer by layer."""
    names = [name for name in ("correct", "auroc") if name in data and set(data[name].dims) == {"layer", EXAMPLE}]
    if not names or "majority" not in data or data.sizes["layer"] < _FEWEST:
        return []
    layers = [float(layer) for layer in data["layer"].values]
    series = [_series(MEASURES[name], layers, data[name]) for name in names]
    blind = float(data["majority"])
    series.append(Series("the most frequent label", layers, np.full(len(layers), blind)))
    caption = (
        "Share of prompts that get their label, and the chance that of two prompts the one with the second label reads higher. "
        + INTERVALS.format(n=data.sizes[EXAMPLE])
    )
    return [lines(series, caption, ("layer", "share"), title="Read along each layer's direction")]


def monitors(data: xr.Dataset) -> list[Drawn]:
    """A monitor's measures with intervals, and its AUROC on each wording."""
    if not {"auroc", "caught", "false_alarms", "brier"} <= set(map(str, data.data_vars)):
        return []
    rows = []
    for i, (name, words) in enumerate(MEASURES.items()):
        found = means(data[name])
        low, high = (float(found.value if end is None else end) for end in (found.low, found.high))
        rows.append((words, float(found.value), low, high, int(i > 2)))
    caption = (
        "Share right and calibration at even odds; caught and false alarms at the threshold. False alarms and the Brier score "
        f"are better when low. {INTERVALS.format(n=data.sizes[EXAMPLE])}"
    )
    drawn = [points(rows, caption, ("share", "What the monitor catches"))]
    if "auroc_by_wording" in data and data.sizes["wording"] > 1:
        names = [str(name) for name in data["wording"].values]
        one = Series("AUROC", [float(i) for i in range(len(names))], data["auroc_by_wording"].values)
        told = "AUROC on each wording alone: a monitor that falls on one of them follows something else that wordings share."
        drawn.append(bars(names, [one], told, titles=("wording", "AUROC"), title="By wording"))
    return drawn


def directions(data: xr.Dataset) -> list[Drawn]:
    """What was measured of directions where they were found, and the cosines between them."""
    if "vector" not in data or set(data["vector"].dims) != {"direction", "dim"}:
        return []
    names = [str(name) for name in data["direction"].values]
    layers = [int(match[1]) for name in names if (match := _LAYER.match(name))]
    if len(names) < _FEWEST or len(set(layers)) != len(names):
        return []
    drawn = []
    if "measured" in data:
        one = _series("share right", [float(layer) for layer in layers], data["measured"])
        told = str(data.attrs.get("quantity", "measured"))
        caption = f"{told[:1].upper()}{told[1:]}. {INTERVALS.format(n=data.sizes[EXAMPLE])}"
        drawn.append(lines([one], caption, ("layer", "share right"), title="Where they were found"))
    vectors = data["vector"].transpose("direction", "dim").values
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    rows = tuple(str(layer) for layer in layers)
    grid = Grid(rows, rows, unit @ unit.T, None, "layer", "layer", "cosine")
    caption = "Cosine between the directions of two layers: near 1, they are the same line of the residual stream."
    return [*drawn, heatmap(grid, caption, limit=1.0, title="How alike the directions are")]


def _series(name: str, x: list[float], array: xr.DataArray) -> Series:
    found = means(array)
    low, high = (None if end is None else end.values for end in (found.low, found.high))
    return Series(name, x, found.value.values, low, high)
