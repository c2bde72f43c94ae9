"""Numbers of an experiment by variable and place, filled in as they come, labelled at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from torch import Tensor

from assay.core.sites import SiteName
from assay.engine.rows import merge
from assay.engine.select import position_axis
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.site_metrics import SiteMetric
from assay.models.structure import AXES, Site

Captured = Iterable[tuple[str, Site, Tensor]]
"""What the captures of a run have kept: (label, site, tensor)."""


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """The values of one variable of one variant (`index` is empty where nothing varies) for some examples."""

    label: str
    index: tuple[int, ...]
    rows: Sequence[int]
    values: Tensor
    dims: tuple[str, ...]


class Table:
    """Numbers by variable and place. `hear` is told of every cell that comes from the engine."""

    def __init__(self, experiment: Experiment, along: Mapping[str, list[int | float | str]]) -> None:
        self.experiment, self.along = experiment, along
        self.parts: dict[str, dict[tuple[int, ...], list[tuple[Sequence[int], Tensor]]]] = {}
        self.dims: dict[str, tuple[str, ...]] = {}
        self.hear: Callable[[Cell], None] | None = None

    def metric(self, label: str, index: tuple[int, ...], rows: Sequence[int], values: Tensor) -> None:
        """A metric of one variant (`index` is its place; empty for runs that do not vary) for some examples."""
        found = next((m for m in self.experiment.metrics if (m.name or m.kind) == label), None)
        self._store(label, index, rows, values, ("example", *_left(found)))

    def captures(self, run: str, index: tuple[int, ...], rows: Sequence[int], captured: Captured) -> None:
        """Captured tensors of one variant's run."""
        for label, site, tensor in captured:
            inner = tuple(
                "position" if a in ("pos", "query") else f"{a}_" if a in self.along else a for a in site.axes[1:]
            )
            label = label if run == self.experiment.main else f"{run}.{label}"
            self._store(label, index, rows, tensor, ("example", *inner), ragged=position_axis(site.axes))

    def _store(
        self,
        label: str,
        index: tuple[int, ...],
        rows: Sequence[int],
        values: Tensor,
        dims: tuple[str, ...],
        ragged: int | None = None,
    ) -> None:
        inner = tuple(f"{d}_" if d in self.along and d != "example" else d for d in dims[: values.ndim])
        cell = Cell(label, index, rows, values.detach().cpu(), (*self.along, *inner) if index else inner)
        self.place(cell)
        if self.hear is not None:
            self.hear(cell)

    def place(self, cell: Cell) -> None:
        """Put a cell where it belongs."""
        self.dims[cell.label] = cell.dims
        self.parts.setdefault(cell.label, {}).setdefault(cell.index, []).append((cell.rows, cell.values))

    def dataset(self) -> xarray.Dataset:
        """All variables with their coordinates and reductions over examples done as the metrics ask.

        What does not vary comes first, whichever was placed first: a run that goes on from a store has it in any order.
        """
        reductions = {m.name or m.kind: m.reduce_examples for m in self.experiment.metrics}
        labels = sorted(self.parts, key=lambda label: () not in self.parts[label])
        variables = apart({label: self._variable(label, reductions.get(label, "none")) for label in labels})
        used = {d for v in variables.values() for d in v.dims}
        return xarray.Dataset(variables, coords={name: values for name, values in self.along.items() if name in used})

    def _variable(self, label: str, reduce: str) -> xarray.Variable:
        cells = self.parts[label]
        merged = {
            i: merge(parts, ragged=tuple(range(1, parts[0][1].ndim))).double().numpy() for i, parts in cells.items()
        }
        dims = self.dims[label]
        if () in merged:  # does not vary: there is one array
            return reduced(merged[()], dims, reduce, single=self._single(label))
        sizes = tuple(len(v) for v in self.along.values())
        inner = tuple(max(a.shape[k] for a in merged.values()) for k in range(next(iter(merged.values())).ndim))
        whole = np.full(sizes + inner, np.nan)
        for index, array in merged.items():
            cell = whole[index]
            cell[tuple(slice(0, n) for n in array.shape)] = array
        return reduced(whole, dims, reduce, single=self._single(label))

    def _single(self, label: str) -> bool:
        main = self.experiment.run(self.experiment.main).input
        metric = next((m for m in self.experiment.metrics if (m.name or m.kind) == label), None)
        name = main if metric is None or metric.run is None else self.experiment.run(metric.run).input
        return self.experiment.inputs[name].single


def _left(metric: Metric | None) -> tuple[str, ...]:
    """The axes beside examples that a metric may leave."""
    one = metric is not None and (isinstance(metric.pos, int | str) or metric.reduce != "none")
    heads = "head"
    if isinstance(metric, SiteMetric) and "kv_head" in AXES.get(SiteName.parse(metric.site).name, ()):
        heads = "kv_head"
    return (heads,) if one else ("pos", heads)


def apart(variables: Mapping[str, xarray.Variable]) -> dict[str, xarray.Variable]:
    """Axes of the same name and another size get a name of their own: `pos_loss` beside `pos`."""
    sizes: dict[Any, int] = {}
    found = {}
    for label, variable in variables.items():
        new = {dim: f"{dim}_{label}" for dim, n in variable.sizes.items() if sizes.setdefault(dim, n) != n}
        dims = [new.get(dim, dim) for dim in variable.dims]
        found[label] = xarray.Variable(dims, variable.values) if new else variable
    return found


def reduced(whole: np.ndarray[Any, Any], dims: tuple[str, ...], reduce: str, *, single: bool) -> xarray.Variable:
    """A variable with its examples reduced as asked; of a single example the axis is dropped."""
    axis = dims.index("example")
    left = tuple(d for d in dims if d != "example")
    if single:
        return xarray.Variable(left, whole.take(0, axis))
    if reduce == "none":
        return xarray.Variable(dims, whole)
    return xarray.Variable(left, getattr(np, f"nan{reduce}")(whole, axis=axis))
