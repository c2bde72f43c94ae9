"""Tables: every number that a step gave, as means over examples with their intervals, the largest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from assay.core.svg import number
from assay.studies.folder import StepResult
from assay.studies.report.means import Means, means

MOST_ROWS = 600
"""A longer table opens slowly and nobody reads it to its end: what is left out is said, and is in the results file."""


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
    found = {name: _plain(means(result.data[name]), dims) for name in names}
    labels = [[_label(each) for each in _labels(result.data, dim)] for dim in dims]
    first = found[names[0]].value
    places = list(np.ndindex(first.shape))
    if len(names) == 1:
        places.sort(key=lambda at: -_size(float(first[at])))
    rows = []
    for at in places[:MOST_ROWS]:
        cells = [column[i] for column, i in zip(labels, at, strict=True)]
        rows.append((*cells, *(cell for each in found.values() for cell in each.cells(at))))
    head = [*dims]
    for name in names:
        head += [name, "95 % interval"] if found[name].low is not None else [name]
    n = max(each.n for each in found.values())
    caption = f"{', '.join(names)} by {', '.join(dims)}" + (f": means over {n} examples" if n else "")
    return Table(caption, tuple(head), tuple(rows), max(0, len(places) - MOST_ROWS))


def _scalars(result: StepResult, names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        found = _plain(means(result.data[name]), ())
        cells = found.cells(())
        cells += [] if len(cells) == 2 else [Cell("", "")]
        rows.append((Cell(name, name), *cells, Cell(str(found.n or ""), found.n, True)))
    return Table("Means over examples", ("number", "mean", "95 % interval", "examples"), tuple(rows))


@dataclass(frozen=True)
class _Plain:
    """Means as bare arrays with their axes in the table's order: quick to go through cell by cell."""

    value: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    n: int

    def cells(self, at: tuple[int, ...]) -> list[Cell]:
        """The number at a place, and its interval if there is one."""
        value = float(self.value[at])
        cells = [Cell(number(value), value if np.isfinite(value) else -1e300, True)]
        if self.low is not None and self.high is not None:
            low, high = float(self.low[at]), float(self.high[at])
            width = high - low if np.isfinite(high - low) else -1e300
            cells.append(Cell(f"[{number(low)}, {number(high)}]", width, True))
        return cells


def _plain(found: Means, dims: tuple[str, ...]) -> _Plain:
    low, high = (None if end is None else end.transpose(*dims).values for end in (found.low, found.high))
    return _Plain(found.value.transpose(*dims).values, low, high, found.n)


def _labels(data: xr.Dataset, dim: str) -> list[Any]:
    found: list[Any] = data[dim].values.tolist()
    return found


def _label(label: Any) -> Cell:
    is_number = isinstance(label, int | float)
    return Cell(str(label), float(label) if is_number else str(label), is_number)


def _size(value: float) -> float:
    return abs(value) if np.isfinite(value) else -1.0
