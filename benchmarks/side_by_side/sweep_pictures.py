"""Pictures of the measured sweeps, as SVG text: what multiple of assay's time each tool took, and how cost grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from side_by_side.sweep_page import tools_of
from side_by_side.targets import FASTER, ratios

from assay.core.svg import Scale, label, number, picture, tag

INK, PAPER, GRID, PLAIN = "#1c2128", "#ffffff", "#dfe3e8", "#5d6673"
COLOURS = ("#7a8794", "#b9c2cb", "#d95f02", "#0f62ad", "#7fb2e5", "#1b7f5c", "#a0257b")
"""By hand in greys, both ways of nnsight in blues; told apart by colour-blind readers, and named in a legend."""
BAR, GAP, LEFT, WIDTH, TOP = 11.0, 16.0, 40.0, 720.0, 62.0
PANEL, TALL, BESIDE, BELOW = 170.0, 130.0, 62.0, 66.0


def paper(width: float, height: float, title: str, *parts: Markup) -> Markup:
    ground = tag("rect", width=width, height=height, fill=PAPER, rx=6)
    return picture(
        ground, label(16.0, 22.0, title, anchor="start"), *parts, width=width, height=height, label=title,
        xmlns="http://www.w3.org/2000/svg", style=f"font-family:sans-serif;font-size:11px;fill:{INK}",
    )  # fmt: skip


def ratio_picture(result: Mapping[str, Any]) -> Markup:
    """Bars on a logarithmic axis: each tool's time over assay's, with the range over rounds, and each row's target."""
    rows = result["rows"]
    tools = [tool for tool in tools_of(result) if tool != "assay"]
    colours = {tool: COLOURS[i % len(COLOURS)] for i, tool in enumerate(tools)}
    found = {name: {t: ratios(row, t) for t in tools if t in row["seconds"]} for name, row in rows.items()}
    most = max((each[2] for row in found.values() for each in row.values()), default=10.0)
    least = min((each[1] for row in found.values() for each in row.values()), default=1.0)
    across = Scale(min(0.8, 0.9 * least), 1.2 * max(most, *FASTER.values()), LEFT, WIDTH - 24.0, log=True)
    parts, y = [], TOP
    for name, row in found.items():
        height = BAR * max(1, len(row))
        parts.append(label(LEFT - 8.0, y + height / 2 + 4.0, name, anchor="end"))
        for i, (tool, (middle, low, high)) in enumerate(row.items()):
            top = y + i * BAR
            start, end = sorted((across(1.0), across(middle)))
            parts.append(tag("rect", x=start, y=top + 1.0, width=end - start, height=BAR - 2.0, fill=colours[tool]))
            parts.append(_line(across(low), top + BAR / 2, across(high), top + BAR / 2, INK))
            parts.append(label(max(end, across(high)) + 4.0, top + BAR - 1.5, number(middle), anchor="start"))
        if name in FASTER:
            at = across(FASTER[name])
            parts.append(_line(at, y - 3.0, at, y + height + 3.0, INK, 2.0, "3 2"))
        y += height + GAP
    height = y + 26.0
    axis = [
        _line(across(value), TOP - 6.0, across(value), y - 4.0, PLAIN if value == 1 else GRID)
        for value in _steps(across)
    ]
    axis += [label(across(value), y + 10.0, f"{value:g}×") for value in _steps(across)]
    title = "Time of each tool, as a multiple of assay's (thin lines: range over rounds; dashed: assay's target)"
    return paper(WIDTH, height, title, *axis, *_legend(colours), *parts)


def _legend(colours: Mapping[str, str]) -> list[Markup]:
    found, x = [], LEFT
    for name, colour in colours.items():
        found += [
            tag("rect", x=x, y=34.0, width=10.0, height=10.0, fill=colour),
            label(x + 14.0, 43.0, name, anchor="start"),
        ]
        x += 26.0 + 6.2 * len(name)
    return found


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dash: str | None = None
) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width, stroke_dasharray=dash)


def _steps(scale: Scale) -> list[float]:
    """1, 2 and 5 of every power of ten that is on a logarithmic axis."""
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    return [
        step * 10.0**power for power in powers for step in (1, 2, 5) if scale.low <= step * 10.0**power <= scale.high
    ]


def growth_picture(axes: Mapping[str, Any]) -> Markup:
    """A panel for each thing that grows: seconds (dots), and token-layers on the scale of the last point (dashes)."""
    columns = 3
    parts = [
        _panel(axis, BESIDE + (i % columns) * (PANEL + BESIDE), 52.0 + (i // columns) * (TALL + BELOW))
        for i, axis in enumerate(axes.values())
    ]
    lines = math.ceil(len(axes) / columns)
    title = "Seconds as one thing grows (dots), token-layers scaled to the last point (dashed), a straight proportion (grey)"
    return paper(columns * (PANEL + BESIDE) + 30.0, 52.0 + lines * (TALL + BELOW), title, *parts)


def _panel(axis: Mapping[str, Any], left: float, top: float) -> Markup:
    values, seconds, layers = axis["values"], axis["seconds"], axis["token_layers"]
    scaled = [count * seconds[-1] / layers[-1] for count in layers]
    straight = [value * seconds[-1] / values[-1] for value in values]
    low, high = min(*seconds, *scaled, *straight), max(*seconds, *scaled, *straight)
    across = Scale(values[0], values[-1], left, left + PANEL, log=True)
    up = Scale(low / 1.15, high * 1.15, top + TALL, top, log=True)
    line = lambda ys, **how: tag(  # noqa: E731
        "polyline",
        points=" ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(values, ys, strict=True)),
        fill="none",
        **how,
    )
    parts = [tag("rect", x=left, y=top, width=PANEL, height=TALL, fill="none", stroke=GRID)]
    parts += [line(straight, stroke=GRID, stroke_width=2.0)]
    parts += [line(scaled, stroke=COLOURS[2], stroke_width=1.5, stroke_dasharray="5 3")]
    parts += [line(seconds, stroke=COLOURS[3], stroke_width=1.5)]
    parts += [
        tag("circle", cx=across(x), cy=up(y), r=3.0, fill=COLOURS[3]) for x, y in zip(values, seconds, strict=True)
    ]
    parts += [label(across(x), top + TALL + 14.0, x) for x in values]
    parts += [label(left - 5.0, up(y) + 4.0, f"{number(y)} s", anchor="end") for y in (seconds[0], seconds[-1])]
    parts.append(label(left + PANEL / 2, top + TALL + 30.0, axis["title"]))
    return tag("g", *parts)
