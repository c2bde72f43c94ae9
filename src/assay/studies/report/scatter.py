"""Scores against scores: an estimate beside exact patching of the same components, part by part.

Drawn where a run holds both: a step that changes nothing in the network, and one that does, of scores for at least three
components in common on the same data. R² and the slope are those of the straight line estimate ≈ slope · exact + constant.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from markupsafe import Markup

from assay.core.svg import Scale, extent, label, number, picture, tag, tick
from assay.studies.folder import StepResult
from assay.studies.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, marker
from assay.studies.report.charts import points
from assay.studies.report.drawn import Drawn, Numbers
from assay.studies.report.means import means

FEWEST = 3
SIDE = 350.0
MOST = 3000
AGREEMENT = ("r_squared", "slope", "relative_error", "spearman", "kendall")


def estimates_against_exact(step: str, results: Mapping[str, StepResult]) -> list[Drawn]:
    """For a step of estimates, a figure for each step of exact scores that it can be held against."""
    mine = results[step]
    if not _is_estimate(mine):
        return []
    return [
        drawn
        for other in results.values()
        if other.examples == mine.examples and other.card.get("intervenes") and "score" in other.data
        if (drawn := _scatter(mine, other)) is not None
    ]


def stored_error(data: xr.Dataset) -> list[Drawn]:
    """The figures of a result that compares an estimate with exact scores: part by part, and its numbers with intervals."""
    if not {"approximate", "exact", "r_squared"} <= set(map(str, data.data_vars)):
        return []
    names = [str(name) for name in data["component"].values]
    x, y = data["exact"].values.astype(float), data["approximate"].values.astype(float)
    titles = ("exact", "estimate")
    which = f"Each point is one of {len(names)} components"
    caption = f"{which}: its estimate (up) against its exact score (across); dashed: equality."
    kept = Numbers("scatter", *titles).with_series("", x, y, labels=names)
    drawn = Drawn(_picture(names, x, y, titles), caption, title="Part by part", numbers=kept)
    rows = []
    for name in AGREEMENT:
        if name in data and data[name].dims == ("bound",):
            value, low, high = data[name].sel(bound=["value", "low", "high"]).values.astype(float)
            rows.append((name.replace("_", " ").replace("r squared", "R²"), float(value), float(low), float(high), 0))
    said = "How well the estimate agrees with exact scores. Intervals: 95 %, bootstrap over components."
    return [drawn, *([points(rows, said, ("agreement", "Agreement"))] if rows else [])]


def _is_estimate(result: StepResult) -> bool:
    """Scores of a method that computes something and changes nothing: not a ranking by weights, not an average."""
    free = str(result.card.get("cost", "none")).startswith("none")
    return "score" in result.data and not result.card.get("intervenes") and not free


def _scatter(mine: StepResult, other: StepResult) -> Drawn | None:
    first, second = _scores(mine), _scores(other)
    names = [name for name in first if name in second]
    if len(names) < FEWEST:
        return None
    x, y = (np.array([each[name] for name in names]) for each in (second, first))
    slope, r_squared = _line(x, y)
    caption = (
        f"Each point is one of {len(names)} components: its score in {mine.step} (up) against {other.step}, which changes the "
        f"network (across). R² {r_squared:.2f}, slope {slope:.2f}; the dashed line is equality. A slope of 1 is wanted only "
        "where both are in the same unit."
    )
    drawn = _picture(names, x, y, (f"{other.step} (exact)", f"{mine.step} (estimate)"))
    kept = Numbers("scatter", f"{other.step} (exact)", f"{mine.step} (estimate)").with_series(
        mine.step, x, y, labels=names
    )
    return Drawn(drawn, caption, title=f"Against {other.step}", numbers=kept)


def _scores(result: StepResult) -> dict[str, float]:
    values = means(result.data["score"]).value
    if values.dims != ("component",):
        return {}
    pairs = zip(result.data["component"].values.tolist(), values.values.tolist(), strict=True)
    return {str(name): float(value) for name, value in pairs if np.isfinite(value)}


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    across, up = x - x.mean(), y - y.mean()
    spread, other = float(across @ across), float(up @ up)
    if not spread or not other:
        return 0.0, 0.0
    both = float(across @ up)
    return both / spread, both**2 / (spread * other)


def _picture(names: list[str], x: np.ndarray, y: np.ndarray, titles: tuple[str, str]) -> Markup:
    across = Scale(*extent(x.tolist(), with_zero=True), LEFT, LEFT + SIDE)
    up = Scale(*extent(y.tolist(), with_zero=True), HEIGHT - BOTTOM, TOP)
    parts = [*_frame(across, up, titles), _equality(across, up)]
    shown = np.argsort(-np.abs(x) - np.abs(y), kind="stable")[:MOST].tolist()
    marks = [
        marker(across(float(x[i])), up(float(y[i])), "circle", size=3.0, tip=f"{names[i]}: {number(float(y[i]))} against "
               f"{number(float(x[i]))}")
        for i in shown
    ]  # fmt: skip
    parts.append(tag("g", *marks, class_="k0 cloud"))
    said = f"{titles[1]} against {titles[0]}: {len(names)} components."
    return picture(*parts, width=LEFT + SIDE + RIGHT, height=HEIGHT, label=said)


def _frame(across: Scale, up: Scale, titles: tuple[str, str]) -> list[Markup]:
    parts = []
    for value in up.ticks():
        place = up(value)
        parts.append(tag("line", x1=across.start, x2=across.stop, y1=place, y2=place, class_=_rule(value)))
        parts.append(label(across.start - 7, place + 4, tick(value), anchor="end"))
    for value in across.ticks():
        place = across(value)
        parts.append(tag("line", x1=place, x2=place, y1=up.start, y2=up.stop, class_=_rule(value)))
        parts.append(label(place, up.start + 16, tick(value)))
    middle = (up.start + up.stop) / 2
    parts.append(label((across.start + across.stop) / 2, up.start + 36, titles[0], class_="axis"))
    turned = f"rotate(-90 13 {middle:.0f})"
    return [*parts, tag("text", titles[1], x=13, y=middle, class_="axis", text_anchor="middle", transform=turned)]


def _rule(value: float) -> str:
    return "zero" if value == 0 else "rule"


def _equality(across: Scale, up: Scale) -> Markup:
    """The part of the line y = x that lies in the frame."""
    low, high = max(across.low, up.low), min(across.high, up.high)
    if low >= high:
        return tag("g")
    return tag("line", x1=across(low), y1=up(low), x2=across(high), y2=up(high), class_="limit")
