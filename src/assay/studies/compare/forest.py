"""The picture of a hypothesis over several runs: each run's number and interval under the others, and what was predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from assay.core.svg import Scale, extent, label, picture, tag, tick
from assay.studies.conclusion import Number
from assay.studies.condition import Condition

WIDTH, ROW, TOP, LETTER = 560.0, 24.0, 8.0, 6.6
_MOST = 26


def forest(rows: Sequence[tuple[str, Number]], prediction: str) -> Markup:
    """Named numbers on one axis; the region that meets the prediction is shaded."""
    predicted = Condition.parse(prediction)
    names = [name if len(name) <= _MOST else name[: _MOST - 1] + "…" for name, _ in rows]
    left = 12 + LETTER * max(map(len, names))
    scale = _scale(predicted, [number for _, number in rows], left + 8, WIDTH - 12)
    bottom = TOP + ROW * len(rows)
    parts = [_region(predicted, scale, bottom)]
    for i, (name, (_, number)) in enumerate(zip(names, rows, strict=True)):
        y = TOP + ROW * (i + 0.5)
        parts += [label(left - 4, y + 4, name, anchor="end", class_="axis"), _row(number, scale, y)]
    for value in scale.ticks(5):
        x = scale(value)
        parts += [
            tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="whisker"),
            label(x, bottom + 17, tick(value)),
        ]
    said = "; ".join(f"{name}: {number.text}" for name, number in rows)
    return picture(*parts, width=WIDTH, height=bottom + 24, label=f"Predicted {prediction}. {said}.", class_="strip")


def _scale(predicted: Condition, numbers: Sequence[Number], start: float, stop: float) -> Scale:
    ends = [end for each in numbers for end in (each.value, each.low, each.high) if end is not None]
    ends += [predicted.low] + ([] if predicted.high is None else [predicted.high])
    low, high = extent(ends, margin=0.12)
    return Scale(low, high, start, stop)


def _region(predicted: Condition, scale: Scale, bottom: float) -> Markup:
    limits = {">": (predicted.low, math.inf), "<": (-math.inf, predicted.low)}
    low, high = limits.get(predicted.relation[0], (predicted.low, predicted.high or predicted.low))
    left, right = scale(max(low, scale.low)), scale(min(high, scale.high))
    area = tag("rect", x=left, y=TOP - 4, width=max(right - left, 0.0), height=bottom - TOP + 4, class_="predicted")
    edges = [
        tag("line", x1=scale(end), x2=scale(end), y1=TOP - 4, y2=bottom, class_="limit")
        for end in (low, high)
        if math.isfinite(end)
    ]
    return tag("g", area, *edges)


def _row(number: Number, scale: Scale, y: float) -> Markup:
    if number.value is None:
        return label(scale(scale.low), y + 4, "no number", anchor="start")
    parts = []
    if number.low is not None and number.high is not None:
        parts.append(tag("line", x1=scale(number.low), x2=scale(number.high), y1=y, y2=y, class_="whisker"))
    parts.append(tag("circle", tag("title", number.text), cx=scale(number.value), cy=y, r=4.5))
    return tag("g", *parts, class_="found")
