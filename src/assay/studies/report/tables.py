"""Tables: every number that a step gave, as means over examples with their intervals, the largest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from assay.studies.folder import StepResult
from assay.studies.report.means import means
from assay.studies.report.svg import number

MOST_ROWS = 2000


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is sorted by."""

    text: str
    key: float | str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption; `left_out` rows were too many to show."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(cell.numeric for cell in self.rows[0]) if self.rows else tuple(False for _ in self.head)


def tables(result: StepResult) -> list[Table]:
    """A step's numbers: one table for each set of axes that its variables have."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, array in result.data.data_vars.items():
        dims = tuple(str(dim) for dim in array.dims if dim != "example")
        if not {"query", "key"} <= set(dims):  # whole attention patterns are in the figure, to the last number
            groups.setdefault(dims, []).append(str(name))
    return [_table(result, dims, names) for dims, names in groups.items()]


def _table(result: StepResult, dims: tuple[str, ...], names: Sequence[str]) -> Table:
    if not dims:
        return _scalars(result, names)
    found = {name: means(result.data[name]) for name in names}
    first = found[names[0]].value.transpose(*dims)
    places = list(np.ndindex(first.shape))
    if len(names) == 1:
        places.sort(key=lambda at: -_size(float(first.values[at])))
    rows = []
    for at in places[:MOST_ROWS]:
        cells = [_label(first, dim, i) for dim, i in zip(dims, at, strict=True)]
        for name in names:
            cells += _number_cells(found[name], dims, at)
        rows.append(tuple(cells))
    head = [*dims]
    for name in names:
        head += [name, "95 % interval"] if found[name].low is not None else [name]
    n = max(each.n for each in found.values())
    caption = f"{', '.join(names)} by {', '.join(dims)}" + (f": means over {n} examples" if n else "")
    return Table(caption, tuple(head), tuple(rows), max(0, len(places) - MOST_ROWS))


def _scalars(result: StepResult, names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        found = means(result.data[name])
        cells = _number_cells(found, (), ())
        cells += [] if len(cells) == 2 else [Cell("", "")]
        rows.append((Cell(name, name), *cells, Cell(str(found.n or ""), found.n, True)))
    return Table("Means over examples", ("number", "mean", "95 % interval", "examples"), tuple(rows))


def _label(array: xr.DataArray, dim: str, i: int) -> Cell:
    label: Any = array[dim].values[i]
    is_number = isinstance(label, int | float | np.number)
    return Cell(str(label), float(label) if is_number else str(label), is_number)


def _number_cells(found: Any, dims: tuple[str, ...], at: tuple[int, ...]) -> list[Cell]:
    value = float(found.value.transpose(*dims).values[at])
    cells = [Cell(number(value), value if np.isfinite(value) else -1e300, True)]
    if found.low is not None:
        low, high = (float(end.transpose(*dims).values[at]) for end in (found.low, found.high))
        cells.append(Cell(f"[{number(low)}, {number(high)}]", high - low, True))
    return cells


def _size(value: float) -> float:
    return abs(value) if np.isfinite(value) else -1.0
