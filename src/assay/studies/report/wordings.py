"""A number of each example, averaged for each wording: does the behaviour hang on how it is asked?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import t as student

from assay.studies.report.charts import points
from assay.studies.report.drawn import Drawn
from assay.studies.report.means import EXAMPLE

_SHOWN = ("logit_diff", "prob")
_MOST = 24


def wordings(data: xr.Dataset) -> list[Drawn]:
    """The figure of a result with one number for each example and several wordings; nothing for other results."""
    name = next((each for each in _SHOWN if each in data and data[each].dims == (EXAMPLE,)), None)
    if name is None or "template" not in data.coords:
        return []
    labels = data["template"].values.astype(str)
    rows = [(str(each), *_mean(data[name].values[labels == each]), 0) for each in dict.fromkeys(labels.tolist())]
    if not 2 <= len(rows) <= _MOST:
        return []
    what = name.replace("logit_diff", "logit difference")
    caption = f"Mean {what} for each wording. Intervals: 95 %, Student's t, over the {_sizes(labels)} of each."
    return [points(rows, caption, (what, f"{what.capitalize()} by wording"))]


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    mean, n = float(values.mean()), len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return mean, mean - half, mean + half


def _sizes(labels: np.ndarray) -> str:
    counts = np.unique(labels, return_counts=True)[1]
    least, most = int(counts.min()), int(counts.max())
    sizes = str(least) if least == most else f"{least} to {most}"
    return f"{sizes} example{'s' if most > 1 else ''}"
