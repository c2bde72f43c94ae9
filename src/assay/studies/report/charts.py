"""Lines along layers or sizes, and bars of components: figures with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from assay.core.svg import extent, label, number, picture, tag
from assay.studies.report.axes import (
    BOTTOM,
    HEIGHT,
    MARKERS,
    RIGHT,
    Frame,
    Series,
    frame,
    legend,
    line,
    marker,
    whisker,
)
from assay.studies.report.drawn import Drawn, Numbers

LEGEND = 22.0


def said(value: float, low: float | None = None, high: float | None = None) -> str:
    """A number with its interval, if it has one."""
    if low is None or high is None or not np.isfinite(low) or low == high:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def lines(
    series: Sequence[Series],
    caption: str,
    titles: tuple[str, str],
    *,
    log: bool = False,
    title: str = "",
) -> Drawn:
    """Several lines along one numeric axis."""
    low, high = extent(_all(series), with_zero=True)
    xs = sorted({float(x) for each in series for x in each.x})
    room = 0.02 * (xs[-1] - xs[0]) if not log else 0.0
    ends = (xs[0] - room, xs[-1] + room) if not log else (xs[0] / 1.1, xs[-1] * 1.1)
    axes = frame(ends, (low, high), titles, log=log)
    parts = [
        line(each, axes, colour=i, tips=_tips(each, titles[0]), band=len(series) == 1) for i, each in enumerate(series)
    ]
    ticks = [(x, f"{x:g}") for x in xs]
    drawn = _whole(axes, _thin(ticks, axes), parts, [each.name for each in series], caption, title)
    return replace(drawn, numbers=_numbers(Numbers("lines", *titles, log=log), series))


def bars(
    names: Sequence[str], series: Sequence[Series], caption: str, *, titles: tuple[str, str], title: str = ""
) -> Drawn:
    """Bars side by side: one group for each name, one bar for each series."""
    low, high = extent(_all(series), with_zero=True)
    axes = frame((-0.5, len(names) - 0.5), (low, high), titles)
    slot = (axes.x.stop - axes.x.start) / len(names)
    width = min(0.8 * slot / len(series), 26.0)
    parts = []
    for i, each in enumerate(series):
        shift = (i - (len(series) - 1) / 2) * width
        group = [_bar(each, j, axes, width, shift) for j in range(len(each.x))]
        parts.append(tag("g", *group, class_=f"k{i}"))
    ticks = [(float(j), name) for j, name in enumerate(names)]
    drawn = _whole(axes, _thin(ticks, axes), parts, [each.name for each in series], caption, title)
    return replace(drawn, numbers=_numbers(Numbers("bars", *titles), series, names))


def points(rows: Sequence[tuple[str, float, float, float, int]], caption: str, titles: tuple[str, str]) -> Drawn:
    """One row for each name: a point and its interval; the last entry of a row is its colour."""
    low, high = extent([end for row in rows for end in row[1:4]], with_zero=True)
    left, height = 14.0 + 7.2 * max(len(row[0]) for row in rows), 22.0 * len(rows) + 56
    axes = frame((low, high), (0.0, 1.0), titles)
    across = type(axes.x)(low, high, left, axes.x.stop)
    parts = []
    for value in across.ticks(6):
        x = across(value)
        parts.append(tag("line", x1=x, x2=x, y1=6, y2=height - 46, class_="zero" if value == 0 else "rule"))
        parts.append(label(x, height - 30, f"{value:g}".replace("-", "−")))
    for i, (name, value, start, stop, colour) in enumerate(rows):
        y = 20.0 + 22 * i
        parts.append(label(left - 8, y + 4, name, anchor="end"))
        tip = f"{name}: {said(value, start, stop)}"
        span = [whisker((across(start), y), (across(stop), y))] if start < stop else []
        parts.append(tag("g", *span, marker(across(value), y, MARKERS[colour % 4], tip=tip), class_=f"k{colour}"))
    parts.append(label((left + across.stop) / 2, height - 8, titles[0], class_="axis"))
    drawn_all = picture(*parts, width=across.stop + RIGHT, height=height, label=f"{titles[0]} of {len(rows)} sets.")
    ends = ([row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows])
    empty = Numbers("points", titles[0], "")
    kept = empty.with_series("", [row[0] for row in rows], ends[0], low=ends[1], high=ends[2])
    return Drawn(drawn_all, caption, title=titles[1], numbers=kept)


def _numbers(empty: Numbers, series: Sequence[Series], names: Sequence[str] | None = None) -> Numbers:
    for each in series:
        x = each.x if names is None else [names[int(at)] for at in each.x]
        empty = empty.with_series(each.name, x, each.y, low=each.low, high=each.high)
    return empty


def _bar(series: Series, j: int, axes: Frame, width: float, shift: float) -> Markup:
    value, zero = float(series.y[j]), axes.y(0.0)
    x, y = axes.x(float(series.x[j])) + shift, axes.y(value)
    tip = _tips(series, "")[j]
    parts = [tag("rect", x=x - width / 2, y=min(y, zero), width=max(width - 1, 1.0), height=max(abs(zero - y), 0.5),
                 data_tip=tip, class_="bar")]  # fmt: skip
    if series.low is not None and series.high is not None and width >= 4:
        parts.append(whisker((x - 0.5, axes.y(float(series.low[j]))), (x - 0.5, axes.y(float(series.high[j])))))
    return tag("g", *parts)


def _tips(series: Series, axis: str) -> list[str]:
    found = []
    for i, value in enumerate(series.y):
        low = None if series.low is None else float(series.low[i])
        high = None if series.high is None else float(series.high[i])
        place = f"{axis} {series.x[i]:g}: " if axis else ": "
        found.append(f"{series.name}, {place}{said(float(value), low, high)}".replace(", : ", ": "))
    return found


def _thin(ticks: Sequence[tuple[float, str]], axes: Frame) -> list[tuple[float, str]]:
    """Every label, or every second, fifth … one, so that none overlap."""
    for stride in (1, 2, 5, 10, 20, 50, 100):
        kept = list(ticks[::stride])
        ends = [(axes.x(value), 3.6 * len(text) + 3) for value, text in kept]
        if all(x + half <= y - other for (x, half), (y, other) in pairwise(ends)):
            return kept
    return [ticks[0]]


def _whole(
    axes: Frame, ticks: Sequence[tuple[float, str]], parts: Sequence[Markup], names: Sequence[str], caption: str,
    title: str,
) -> Drawn:  # fmt: skip
    many = len(names) > 1
    shown = [axes.drawn(ticks), *parts, *([legend(names, axes.x.start, HEIGHT + LEGEND - 8)] if many else [])]
    drawn = picture(
        *shown,
        width=axes.x.stop + RIGHT,
        height=HEIGHT + (LEGEND if many else 0),
        label=f"{axes.y_title} by {axes.x_title}: {', '.join(names)}.",
    )
    return Drawn(drawn, caption, title=title)


def _all(series: Sequence[Series]) -> list[float]:
    found: list[float] = []
    for each in series:
        for part in (each.y, each.low, each.high):
            if part is not None:
                found += [float(value) for value in part]
    return found


__all__ = ["BOTTOM", "bars", "lines", "points", "said"]
