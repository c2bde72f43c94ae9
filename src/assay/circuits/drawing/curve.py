"""The curve of a circuit's faithfulness: what circuits of growing size recover, with intervals and baselines.

A logarithmic axis of edges after pruning; 0 is the empty circuit and 1 the whole model, both drawn as lines. Bands are
bootstrap intervals over examples. The axis of what is recovered ends at −0.5 and 2 at most: what lies beyond is an arrowhead
at the edge, and the picture says how far it goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from markupsafe import Markup

from assay.core.svg import Scale, label, picture, tag, tick

INK, PAPER, GRID, PLAIN = "#1c2128", "#ffffff", "#dfe3e8", "#5d6673"
COLOURS = ("#0f62ad", "#d95f02", "#1b7f5c", "#a0257b", "#7a5c00", "#4b4b4b")
"""Told apart by colour-blind readers; lines differ in their marks and dashes too."""
DASHES = (None, "7 4", "2 4", "9 3 2 3", "12 4", "4 2")
WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 20.0, 40.0, 58.0
LOWEST, HIGHEST = -0.5, 2.0


def curve_picture(data: xr.Dataset, *, title: str = "What circuits recover") -> Markup:
    """The picture as SVG text, from a dataset with `recovered` (ranking, fraction, bound) and `edges` (ranking, fraction).

    Rankings whose name begins with "random" are one grey band: the lowest to the highest of them.
    """
    names = [str(name) for name in data["ranking"].values]
    random = [name for name in names if name.startswith("random")]
    shown = [name for name in names if name not in random]
    sizes = np.maximum(data["edges"].values, 1)
    across = Scale(float(sizes.min()), float(max(sizes.max(), sizes.min() + 1)), LEFT, WIDTH - RIGHT, log=True)
    values = data["recovered"].sel(bound="value").values
    low, high = max(LOWEST, min(-0.1, float(np.nanmin(values)))), min(HIGHEST, max(1.1, float(np.nanmax(values))))
    up = Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [tag("rect", width=WIDTH, height=HEIGHT, fill=PAPER, rx=6), *_frame(across, up, title)]
    if random:
        parts += _band(data.sel(ranking=random), across, up)
    for i, name in enumerate(shown):
        parts += _curve(data.sel(ranking=name), across, up, i)
    parts += _legend([*shown, *(["random circuits"] if random else [])], len(shown))
    if beyond := _beyond(values, up):
        parts.append(label(WIDTH - RIGHT, TOP - 10, beyond, anchor="end"))
    return picture(
        *parts, width=WIDTH, height=HEIGHT, label=title, xmlns="http://www.w3.org/2000/svg",
        style=f"font-family:sans-serif;font-size:11px;fill:{INK}",
    )  # fmt: skip


def _beyond(values: np.ndarray, up: Scale) -> str:
    """How far values go that the axis does not reach; empty where there are none."""
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    found = [f"up to {tick(round(most, 1))}"] if most > up.high else []
    found += [f"down to {tick(round(least, 1))}"] if least < up.low else []
    return f"arrowheads lie beyond the axis: {', '.join(found)}" if found else ""


def _frame(across: Scale, up: Scale, title: str) -> list[Markup]:
    found = [label(LEFT, 22, title, anchor="start")]
    for value in up.ticks(6):
        y = up(value)
        strong = value in (0.0, 1.0)
        found.append(
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke=PLAIN if strong else GRID, stroke_width=1.0)
        )
        found.append(label(LEFT - 6, y + 4, tick(value), anchor="end"))
    for power in range(math.ceil(math.log10(across.low)), math.floor(math.log10(across.high)) + 1):
        x = across(10.0**power)
        found.append(tag("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, stroke=GRID, stroke_width=1.0))
        found.append(label(x, HEIGHT - BOTTOM + 15, f"{10**power:,}"))
    found.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 31, "edges, after pruning"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"rotate(-90 16 {middle:.0f})"
    found.append(tag("text", "recovered", x=16.0, y=middle, text_anchor="middle", transform=turned))
    return found


def _curve(row: xr.Dataset, across: Scale, up: Scale, i: int) -> list[Markup]:
    xs = [across(max(1.0, float(size))) for size in row["edges"].values]
    numbers = [float(v) for v in row["recovered"].sel(bound="value").values]
    low, value, high = ([up(float(v)) for v in row["recovered"].sel(bound=b).values] for b in ("low", "value", "high"))
    colour = COLOURS[i % len(COLOURS)]
    shade = _points([*zip(xs, high, strict=True), *reversed(list(zip(xs, low, strict=True)))])
    line = _points(list(zip(xs, value, strict=True)))
    return [
        tag("polygon", points=shade, fill=colour, fill_opacity=0.16),
        tag(
            "polyline",
            points=line,
            fill="none",
            stroke=colour,
            stroke_width=2.0,
            stroke_dasharray=DASHES[i % len(DASHES)],
        ),
        *(_mark(x, y, colour, i, _side(v, up)) for x, y, v in zip(xs, value, numbers, strict=True)),
    ]


def _side(value: float, up: Scale) -> int:
    """1 above the axis, −1 below it, 0 on it."""
    return int(value > up.high) - int(value < up.low)


def _mark(x: float, y: float, colour: str, i: int, side: int = 0) -> Markup:
    """A curve's mark at a point; beyond the axis an arrowhead at its end."""
    if side:
        head = _points([(x - 4.5, y + 4 * side), (x + 4.5, y + 4 * side), (x, y - 4 * side)])
        return tag("polygon", points=head, fill=colour if i % 2 == 0 else PAPER, stroke=colour, stroke_width=1.5)
    if i % 2 == 0:
        return tag("circle", cx=x, cy=y, r=3.0, fill=colour)
    return tag("rect", x=x - 3, y=y - 3, width=6.0, height=6.0, fill=PAPER, stroke=colour, stroke_width=1.5)


def _band(rows: xr.Dataset, across: Scale, up: Scale) -> list[Markup]:
    """From the lowest to the highest random circuit at each fraction, and their mean; at their own mean size."""
    values = rows["recovered"].sel(bound="value")
    sizes = np.maximum(rows["edges"].mean("ranking").values, 1)
    order = np.argsort(sizes, kind="stable")
    xs = [across(float(sizes[i])) for i in order]
    lowest, mean, highest = (
        [up(float(each.values[i])) for i in order]
        for each in (values.min("ranking"), values.mean("ranking"), values.max("ranking"))
    )
    shade = _points([*zip(xs, highest, strict=True), *reversed(list(zip(xs, lowest, strict=True)))])
    line = _points(list(zip(xs, mean, strict=True)))
    return [
        tag("polygon", points=shade, fill=PLAIN, fill_opacity=0.18),
        tag("polyline", points=line, fill="none", stroke=PLAIN, stroke_width=1.5, stroke_dasharray="1 3"),
    ]


def _legend(names: Sequence[str], curves: int) -> list[Markup]:
    found, x, y = [], LEFT, HEIGHT - 10.0
    for i, name in enumerate(names):
        colour, dashes = (COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]) if i < curves else (PLAIN, "1 3")
        found.append(
            tag("line", x1=x, x2=x + 24, y1=y - 4, y2=y - 4, stroke=colour, stroke_width=2.0, stroke_dasharray=dashes)
        )
        found.append(label(x + 30, y, name, anchor="start"))
        x += 52 + 6.4 * len(name)
    return found


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
