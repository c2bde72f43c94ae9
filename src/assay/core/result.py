"""A result: labelled arrays with where they come from and what they cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import pandas as pd
import xarray as xr

from assay.core.calls import against
from assay.core.errors import ExperimentError, nearest
from assay.core.provenance import Cost, Provenance
from assay.core.result_files import read_result, write_result

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from assay.stats.controls import Asked, Comparison

INFLUENCES = "influences"
"""An attribute of a Result's data: variables whose mean over all examples is the number, as of an AUROC or of a rate within
one label. Means over some of the examples are not that number of those."""


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Arrays by name, with provenance and cost. `result["logit_diff"]` is an `xarray.DataArray`."""

    data: xr.Dataset
    """One variable for each metric and capture; the axes of a sweep are dimensions with coordinates."""
    provenance: Provenance = field(default_factory=Provenance)
    """Where it comes from."""
    cost: Cost = field(default_factory=Cost)
    """What was computed for it."""

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.data.data_vars:
            raise ExperimentError(
                f"{name!r} is not in this result: it has {', '.join(self.names)}.{nearest(name, self.names)}"
            )
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        return name in self.data.data_vars

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        return tuple(str(name) for name in self.data.data_vars)

    def to_dataframe(self, name: str | None = None) -> pd.DataFrame:
        """A row for each place and example, with a column for each variable, or for the one named."""
        if name is not None:
            return _frame(self[name].to_dataset(name=name))
        shapes = {variable: self.data[variable].dims for variable in self.names}
        if len(set(shapes.values())) > 1:
            shown = "; ".join(f"{variable} over {', '.join(map(str, dims))}" for variable, dims in shapes.items())
            raise ExperimentError(
                f"the variables have different axes ({shown}): name one, to_dataframe({self.names[0]!r})."
            )
        return _frame(self.data)

    def plot(self, name: str | None = None, **select: Any) -> Figure:
        """A plotly figure of one variable: a heatmap over two axes, a line over one, bars over named components.

        `select` picks a place on an axis (`head=3`). Examples are averaged, and the figure says how uncertain that is.
        """
        from assay.core.figures import figure  # plotly takes half a second to import

        return figure(self[self.names[0] if name is None else name], select)

    def against(self, *controls: str, **options: Unpack[Asked]) -> Comparison:
        """One variable at its best place beside the same quantity for controls, such as `"untrained"`.

        `variable` says which; without names, the controls that claims of this kind need. See `assay.stats.controls`.
        """
        return against(self, controls, options)  # type: ignore[no-any-return]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one file, whole or not at all: a numpy archive without pickle, with everything else as JSON in it."""
        return write_result(path, data=self.data, provenance=self.provenance, cost=self.cost)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            StorageError: the file is missing, damaged, or from a newer assay.
        """
        return cls(*read_result(path))

    def __repr__(self) -> str:
        lines = [f"  {name}  {_summary(self.data[name])}" for name in self.names]
        return "\n".join(["Result", *lines, *(f"  {line}" for line in self._about())])

    def _repr_html_(self) -> str:
        about = "<br>".join(escape(line) for line in self._about())
        return f"<div>{self.data._repr_html_()}<p>{about}</p></div>"

    def _about(self) -> list[str]:
        made, cost = self.provenance, self.cost
        model = made.model_source or "a model that was not recorded"
        lines = [f"from {model} ({_short(made.model_fingerprint)}), experiment {_short(made.experiment_hash)}"]
        lines.append(
            f"{cost.passes} passes, {cost.rows} rows, {cost.token_layers:,} token-layers, {cost.seconds:.2f} s"
        )
        return lines + [f"note: {fact}" for fact in made.facts]


def _frame(data: xr.Dataset) -> pd.DataFrame:
    if not data.dims:
        return pd.DataFrame({str(name): [variable.item()] for name, variable in data.data_vars.items()})
    return data.to_dataframe().reset_index()


def _summary(array: xr.DataArray) -> str:
    shape = ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
    if array.dtype.kind not in "fiub" or not np.isfinite(array.values).any():
        return f"({shape})"
    values = array.values[np.isfinite(array.values)]
    if not array.dims:
        return f"{float(values):.4g}" if values.ndim == 0 else f"{float(values[0]):.4g}"
    return f"({shape})  from {values.min():.4g} to {values.max():.4g}"


def _short(digest: str | None) -> str:
    return "not recorded" if digest is None else digest.removeprefix("sha256:")[:12]
