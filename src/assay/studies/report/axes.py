"""A frame with axes, and what is drawn into it: lines with bands, bars, points with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from assay.core.svg import Scale, label, tag, tick

WIDTH, HEIGHT = 490.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 14.0, 12.0, 44.0
MARKERS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Series:
    """Numbers along an axis, with the ends of their intervals where there are any."""

    name: str
    x: Sequence[float]
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """The two axes of a picture."""

    x: Scale
    y: Scale
    x_title: str
    y_title: str

    def drawn(self, x_ticks: Sequence[tuple[float, str]]) -> Markup:
        """Grid lines, tick labels and titles."""
        left, right, bottom, top = self.x.start, self.x.stop, self.y.start, self.y.stop
        parts = []
        for value in self.y.ticks():
            place = self.y(value)
            parts.append(tag("line", x1=left, x2=right, y1=place, y2=place, class_="zero" if value == 0 else "rule"))
            parts.append(label(left - 7, place + 4, tick(value), anchor="end"))
        parts += [label(self.x(value), bottom + 16, text) for value, text in x_ticks]
        parts.append(label((left + right) / 2, bottom + 36, self.x_title, class_="axis"))
        middle = (top + bottom) / 2
        parts.append(
            tag(
                "text",
                self.y_title,
                x=13,
                y=middle,
                class_="axis",
                text_anchor="middle",
                transform=f"rotate(-90 13 {middle:.0f})",
            )
        )
        return tag("g", *parts)


def frame(
    x: tuple[float, float], y: tuple[float, float], titles: tuple[str, str], *, log: bool = False, width: float = WIDTH
) -> Frame:
    """A frame for these ranges."""
    across = Scale(x[0], x[1], LEFT, width - RIGHT, log=log)
    return Frame(across, Scale(y[0], y[1], HEIGHT - BOTTOM, TOP), *titles)


def line(series: Series, frame: Frame, *, colour: int, tips: Sequence[str], band: bool = True) -> Markup:
    """A line with a marker at each number; intervals as a band, or as whiskers where bands would cover one another."""
    places = [(frame.x(x), frame.y(float(y))) for x, y in zip(series.x, series.y, strict=True)]
    parts = []
    if series.low is not None and series.high is not None:
        above = [(frame.x(x), frame.y(float(y))) for x, y in zip(series.x, series.high, strict=True)]
        below = [(frame.x(x), frame.y(float(y))) for x, y in zip(series.x, series.low, strict=True)]
        if band:
            parts.append(tag("path", d=_path([*above, *below[::-1]]) + "Z", class_="band"))
        else:
            parts += [whisker((x, top), (x, bottom)) for (x, top), (_, bottom) in zip(above, below, strict=True)]
    parts.append(tag("path", d=_path(places), class_="line"))
    parts += [marker(x, y, MARKERS[colour % 4], tip=tip) for (x, y), tip in zip(places, tips, strict=True)]
    return tag("g", *parts, class_=f"k{colour}")


def marker(x: float, y: float, shape: str, *, tip: str | None = None, size: float = 4.0) -> Markup:
    """A small shape at a place; `tip` is shown when it is pointed at."""
    if shape == "circle":
        return tag("circle", cx=x, cy=y, r=size, data_tip=tip)
    if shape == "square":
        return tag("rect", x=x - size, y=y - size, width=2 * size, height=2 * size, data_tip=tip)
    around = {
        "triangle": [(x, y - 1.2 * size), (x + 1.2 * size, y + size), (x - 1.2 * size, y + size)],
        "diamond": [(x, y - 1.4 * size), (x + 1.4 * size, y), (x, y + 1.4 * size), (x - 1.4 * size, y)],
    }[shape]
    return tag("path", d=_path(around) + "Z", data_tip=tip)


def whisker(start: tuple[float, float], stop: tuple[float, float]) -> Markup:
    """An interval."""
    return tag("line", x1=start[0], y1=start[1], x2=stop[0], y2=stop[1], class_="whisker")


def legend(names: Sequence[str], left: float, top: float) -> Markup:
    """Markers with their names, in a row."""
    parts, x = [], left
    for i, name in enumerate(names):
        parts.append(tag("g", marker(x + 6, top - 4, MARKERS[i % 4]), class_=f"k{i}"))
        parts.append(label(x + 16, top, name, anchor="start"))
        x += 34 + 6.6 * len(name)
    return tag("g", *parts)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
