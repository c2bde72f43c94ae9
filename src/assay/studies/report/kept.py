"""What sets of heads keep, beside a rival's and random ones: a curve over sizes, or a row for each set."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assay.studies.report.axes import Series
from assay.studies.report.charts import lines, points
from assay.studies.report.drawn import Drawn
from assay.studies.report.means import EXAMPLE, shares

NEEDED = {"kept", "kept_random", "all", "none"}
SHARE = "share of the behaviour kept"
CAPTION = (
    "1: the whole model's logit difference, 0: what is left when no head is kept. "
    "Intervals: 95 %, percentile bootstrap over {n} examples; a random set's interval says nothing of other random sets."
)


def kept(data: xr.Dataset) -> list[Drawn]:
    """The figure of a result that keeps sets of heads; nothing for other results."""
    if not set(map(str, data.data_vars)) >= NEEDED:
        return []
    caption = CAPTION.format(n=data.sizes.get(EXAMPLE, 0))
    if "fraction" in data.dims:
        return [_curve(data, caption)]
    return [_rows(data, caption)]


def _curve(data: xr.Dataset, caption: str) -> Drawn:
    sizes = [float(size) for size in data.coords["heads" if "heads" in data.coords else "fraction"].values]
    series = []
    for name in data["ranking"].values.tolist():
        value, low, high = _shares(data, data["kept"].sel(ranking=name))
        series.append(Series(_named(name), sizes, value, low, high))
    mean = data["kept_random"].mean("set")
    value, low, high = _shares(data, mean)
    series.append(Series(f"random (mean of {data.sizes['set']} sets)", sizes, value, low, high))
    return lines(series, caption, ("heads kept", SHARE), log=True)


def _rows(data: xr.Dataset, caption: str) -> Drawn:
    rows = []
    value, low, high = _shares(data, data["kept"])
    for i, name in enumerate(data["ranking"].values.tolist()):
        called = {"found": "the chosen heads", "rival": "largest weight norms"}.get(name, str(name))
        rows.append((called, float(value[i]), float(low[i]), float(high[i]), min(i, 2)))
    value, low, high = _shares(data, data["kept_random"])
    for i in np.argsort(-value).tolist():
        rows.append((str(data["set"].values[i]), float(value[i]), float(low[i]), float(high[i]), 2))
    return points(rows, caption, (SHARE, ""))


def _shares(data: xr.Dataset, array: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = array.transpose(..., EXAMPLE).values
    return shares(rows.reshape(-1, rows.shape[-1]), data["none"].values, data["all"].values)


def _named(ranking: str) -> str:
    return {"found": "found heads", "rival": "rival ranking"}.get(ranking, ranking)
