"""Heatmaps: rows by columns, one colour step a cell. The numbers go along as JSON, for the pointer and the keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.core.svg import label, number, picture, shade, tag, tick
from assay.studies.report.drawn import Drawn

MOST_CELLS, MOST_SIDE = 4000, 120
"""A page with more cells opens slowly, and cells of less than a few pixels can't be told apart."""
LEFT, TOP, BOTTOM, RIGHT = 52.0, 8.0, 46.0, 86.0


@dataclass(frozen=True)
class Grid:
    """A table of numbers with labels, to be drawn as a heatmap."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray
    half: np.ndarray | None
    row_title: str
    column_title: str
    what: str


def heatmap(grid: Grid, caption: str, *, limit: float | None = None, title: str = "") -> Drawn:
    """Draw a grid; `limit` is the strongest colour, the largest size in it if left out.

    A grid of more than `MOST_CELLS` cells is pooled: a drawn cell is the largest in size of a block, and the caption says so.
    """
    grid, pooled = _pooled(grid)
    caption += pooled
    finite = grid.values[np.isfinite(grid.values)]
    most = limit or float(np.abs(finite).max(initial=0.0)) or 1.0
    signed = bool(finite.size and finite.min() < -0.02 * most)
    width, height = _cell(len(grid.columns), 16, 56, 330), _cell(len(grid.rows), 13, 28, 440)
    across, down = width * len(grid.columns), height * len(grid.rows)
    left = max(LEFT, 7.0 * max(map(len, grid.rows)) + 30)
    cells = [
        tag(
            "rect",
            x=left + j * width,
            y=TOP + i * height,
            width=width - 0.6,
            height=height - 0.6,
            class_=shade(float(grid.values[i, j]), most, signed=signed),
        )
        for i in range(len(grid.rows))
        for j in range(len(grid.columns))
    ]
    drawn = picture(
        *cells,
        *_labels(grid, left, width, height),
        _key(left + across + 18, most, signed=signed),
        tag("rect", class_="mark", width=width - 0.6, height=height - 0.6, x=-999, y=-999),
        width=left + across + RIGHT,
        height=max(TOP + down + BOTTOM, 190.0),
        label=f"Heatmap of {grid.what} by {grid.row_title} and {grid.column_title}.",
        tabindex=0,
        class_="grid",
    )
    place = {"x": left, "y": TOP, "w": width, "h": height}
    return Drawn(drawn, caption, _data(grid) | place, wide=across > 380, title=title, kind="grid")


def _pooled(grid: Grid) -> tuple[Grid, str]:
    rows, columns = grid.values.shape
    if rows * columns <= MOST_CELLS:
        return grid, ""
    across = -(-columns // MOST_SIDE)
    down = -(-rows // max(1, MOST_CELLS // -(-columns // across)))
    tall, wide = _starts(rows, down), _starts(columns, across)
    values, half = (
        np.full((len(tall), len(wide)), np.nan),
        None if grid.half is None else np.zeros((len(tall), len(wide))),
    )
    for i, top in enumerate(tall):
        for j, left in enumerate(wide):
            block = grid.values[top : top + down, left : left + across]
            at = np.unravel_index(np.argmax(np.where(np.isfinite(block), np.abs(block), -1.0)), block.shape)
            values[i, j] = block[at]
            if half is not None and grid.half is not None:
                half[i, j] = grid.half[top + at[0], left + at[1]]
    rows_named = tuple(_span(grid.rows, start, down) for start in tall)
    columns_named = tuple(_span(grid.columns, start, across) for start in wide)
    said = f" Each cell is the largest in size of {down} × {across}: all numbers are in the results file."
    return Grid(rows_named, columns_named, values, half, grid.row_title, grid.column_title, grid.what), said


def _starts(count: int, step: int) -> list[int]:
    return list(range(0, count, step))


def _span(labels: tuple[str, ...], start: int, step: int) -> str:
    last = labels[min(start + step, len(labels)) - 1]
    return labels[start] if step == 1 or labels[start] == last else f"{labels[start]}–{last}"


def _cell(count: int, least: float, most: float, room: float) -> float:
    return round(min(most, max(least, room / max(1, count))), 1)


def _data(grid: Grid) -> dict[str, Any]:
    half = None if grid.half is None else [[_digits(each) for each in row] for row in grid.half]
    return {
        "rows": grid.rows,
        "columns": grid.columns,
        "values": [[_digits(each) for each in row] for row in grid.values],
        "half": half,
        "names": [grid.row_title, grid.column_title, grid.what],
    }


def _digits(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _labels(grid: Grid, left: float, width: float, height: float) -> list[Markup]:
    down, across = height * len(grid.rows), width * len(grid.columns)
    every = _stride(len(grid.rows), height, 12)
    found = [
        label(left - 6, TOP + (i + 0.5) * height + 4, row, anchor="end")
        for i, row in enumerate(grid.rows)
        if i % every == 0
    ]
    every = _stride(len(grid.columns), width, 7.0 * max(map(len, grid.columns)) + 4)
    found += [
        label(left + (j + 0.5) * width, TOP + down + 15, column)
        for j, column in enumerate(grid.columns)
        if j % every == 0
    ]
    found.append(label(left + across / 2, TOP + down + 36, grid.column_title, class_="axis"))
    middle = TOP + down / 2
    turned = tag("text", grid.row_title, x=12, y=middle, class_="axis", text_anchor="middle",
                 transform=f"rotate(-90 12 {middle:.0f})")  # fmt: skip
    return [*found, turned]


def _stride(count: int, step: float, needed: float) -> int:
    """Write every first, second, fifth … label, so that they do not overlap."""
    return next((each for each in (1, 2, 5, 10, 20, 50) if each * step >= needed), max(1, count))


def _key(left: float, most: float, *, signed: bool) -> Markup:
    """The legend of colours: the most at the top."""
    steps = 20
    low = -most if signed else 0.0
    parts = [
        tag("rect", x=left, y=TOP + i * 7.0, width=12, height=7.2,
            class_=shade(most - (most - low) * i / (steps - 1), most, signed=signed))
        for i in range(steps)
    ]  # fmt: skip
    marks = [(most, TOP + 9), (low, TOP + steps * 7.0)]
    marks += [(0.0, TOP + steps * 3.5 + 4)] if signed else []
    return tag("g", *parts, *(label(left + 17, y, _mark(value), anchor="start") for value, y in marks))


def _mark(value: float) -> str:
    return tick(float(f"{value:.2g}")) if value else "0"


__all__ = ["Drawn", "Grid", "heatmap", "number"]
