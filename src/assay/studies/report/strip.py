"""The picture of a hypothesis: the number and its interval, the region that was predicted, baselines below.

Under a line of their own stand the same number under the choices that the study declared as alternatives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from assay.core.svg import Scale, extent, label, picture, tag, tick
from assay.studies.conclusion import Judgement, Number
from assay.studies.condition import Condition
from assay.studies.report.axes import marker, whisker

WIDTH, ROW, TOP = 420.0, 24.0, 10.0
MARKS = {"found": ("circle", 5.0), "beside": ("diamond", 4.0), "under": ("square", 4.0)}


def strip(judged: Judgement, *, named: bool = False) -> Markup:
    """Found number and baselines on one axis, above each other; `named`: with what each is, for where no table stands by."""
    predicted = Condition.parse(judged.prediction)
    rows = _rows(judged)
    names = [each.name for each in rows] if named else []
    left = 14.0 + max((6.4 * len(_cut(name)) + 10 for name in names), default=0.0)
    scale = _scale(predicted, rows, left, left + WIDTH - 28.0)
    bottom = TOP + ROW * len(rows)
    parts = [_region(predicted, scale, bottom)]
    if judged.otherwise:
        y = bottom - ROW * len(judged.otherwise)
        parts.append(tag("line", x1=left - 10, x2=left + WIDTH - 22, y1=y, y2=y, class_="rule"))
    parts += [_drawn(each, scale, TOP + ROW * (i + 0.5)) for i, each in enumerate(rows)]
    parts += [label(left - 10, TOP + ROW * (i + 0.5) + 4, _cut(name), anchor="end") for i, name in enumerate(names)]
    for value in scale.ticks(5):
        x = scale(value)
        parts.append(tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="whisker"))
        parts.append(label(x, bottom + 17, tick(value)))
    under = "".join(f" Under {each.name}: {each.number.text}, {each.outcome}." for each in judged.otherwise)
    said = f"Found {judged.number.text}; predicted {judged.prediction}.{under}"
    return picture(*parts, width=left + WIDTH - 14, height=bottom + 24, label=said, class_="strip")


def _cut(name: str) -> str:
    return name if len(name) <= 48 else name[:47] + "…"


def small_strip(judged: Judgement) -> Markup:
    """The number and its interval against the prediction, small enough for a table."""
    predicted = Condition.parse(judged.prediction)
    rows = _rows(judged)
    scale = _scale(predicted, rows, 6.0, 134.0)
    parts = [_region(predicted, scale, 22.0, top=0.0), _drawn(rows[0], scale, 11.0)]
    said = f"Found {judged.number.text}; predicted {judged.prediction}."
    return picture(*parts, width=140, height=22, label=said, class_="strip small")


@dataclass(frozen=True)
class _Row:
    """One number with what it is: `found`, `beside` (a baseline) or `under` (another choice)."""

    name: str
    number: Number
    kind: str


def _rows(judged: Judgement) -> list[_Row]:
    return [
        _Row(judged.id, judged.number, "found"),
        *(_Row(each.name, each.number, "beside") for each in judged.baselines),
        *(_Row(f"under {each.name}: {each.outcome}", each.number, "under") for each in judged.otherwise),
    ]


def _scale(predicted: Condition, rows: list[_Row], start: float, stop: float) -> Scale:
    ends = [end for row in rows for end in (row.number.value, row.number.low, row.number.high) if end is not None]
    ends += [predicted.low] + ([] if predicted.high is None else [predicted.high])
    low, high = extent(ends, margin=0.12)
    return Scale(low, high, start, stop)


def _region(predicted: Condition, scale: Scale, bottom: float, *, top: float = 4.0) -> Markup:
    """The numbers that meet the prediction."""
    limits = {">": (predicted.low, math.inf), "<": (-math.inf, predicted.low)}
    low, high = limits.get(predicted.relation[0], (predicted.low, predicted.high or predicted.low))
    left, right = scale(max(low, scale.low)), scale(min(high, scale.high))
    edges = [
        tag("line", x1=scale(end), x2=scale(end), y1=top, y2=bottom, class_="limit")
        for end in (low, high)
        if math.isfinite(end)
    ]
    area = tag("rect", x=left, y=top, width=max(right - left, 0.0), height=bottom - top, class_="predicted")
    return tag("g", area, *edges)


def _drawn(row: _Row, scale: Scale, y: float) -> Markup:
    number = row.number
    if number.value is None:
        return label(scale(scale.low), y + 4, "no number", anchor="start")
    parts = []
    if number.low is not None and number.high is not None:
        parts.append(whisker((scale(number.low), y), (scale(number.high), y)))
    shape, size = MARKS[row.kind]
    parts.append(marker(scale(number.value), y, shape, tip=f"{row.name}\n{number.text}", size=size))
    return tag("g", *parts, class_=row.kind)
