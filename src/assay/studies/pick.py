"""Picking numbers out of a step's labelled result: which variable, which coordinates, which examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from assay.core.errors import StudyError, nearest
from assay.studies.quantity import Coordinate, Depth, Matches, Range, Selector


@dataclass(frozen=True)
class StepData:
    """A step's labelled numbers, and the name of the data set whose examples they are about."""

    name: str
    data: xr.Dataset
    examples: str


@dataclass(frozen=True)
class Picked:
    """The numbers that a selector picks: coordinates in the rows, examples (if any) in the columns."""

    values: np.ndarray
    group: str | None
    clusters: tuple[str, ...] | None
    yes_or_no: bool

    @property
    def is_proportion(self) -> bool:
        """Whether the mean is a share of independent examples at one place."""
        return self.yes_or_no and self.group is not None and len(self.values) == 1 and self.clusters is None


def pick(selector: Selector, results: Mapping[str, StepData], *, cluster: str | None = None) -> Picked:
    """The numbers that a selector means; `cluster` names the coordinate whose values tell which examples hang together.

    Raises:
        StudyError: there is no such variable, dimension or label; the message lists what there is.
    """
    step = results[selector.step]
    if selector.variable not in step.data:
        known = [str(name) for name in step.data.data_vars]
        raise StudyError(
            f"Step {step.name!r} gives no {selector.variable!r}; it gives {', '.join(known)}."
            f"{nearest(selector.variable, known)}"
        )
    array = step.data[selector.variable]
    for dim, wanted in selector.coords.items():
        array = array.isel({dim: _indices(array, dim, wanted, step.name)})
    yes_or_no = selector.counts is not None or array.dtype == bool
    values = array.transpose(..., "example").values if "example" in array.dims else array.values[..., None]
    values = values.reshape(-1, values.shape[-1])
    if selector.counts is not None:
        values = np.vectorize(selector.counts.holds, otypes=[float])(values)
    if "example" not in array.dims:
        return Picked(values[:, 0].astype(float), None, None, yes_or_no)
    clusters = None
    if cluster is not None:
        if cluster not in array.coords:
            raise StudyError(f"Step {step.name!r} does not say the {cluster} of its examples: they can't be clustered.")
        clusters = tuple(str(label) for label in array.coords[cluster].values)
    return Picked(values.astype(float), step.examples, clusters, yes_or_no)


def _indices(array: xr.DataArray, dim: str, wanted: Coordinate, step: str) -> list[int]:
    if dim not in array.dims or dim == "example":
        dims = [str(each) for each in array.dims if each != "example"]
        raise StudyError(f"Step {step!r}: {array.name!r} has no dimension {dim!r}; it has {', '.join(dims) or 'none'}.")
    labels = array.coords[dim].values.tolist()
    match wanted:
        case Range():
            chosen = [i for i, label in enumerate(labels) if wanted.start <= label <= wanted.stop]
        case Depth():
            first, last = (end * max(labels) for end in wanted.depth)
            chosen = [i for i, label in enumerate(labels) if first <= label <= last]
            chosen = chosen or [int(np.argmin([abs(label - (first + last) / 2) for label in labels]))]
        case Matches():
            chosen = [i for i, label in enumerate(labels) if re.fullmatch(wanted.matches, str(label))]
        case _:
            values = wanted if isinstance(wanted, list) else [wanted]
            chosen = [i for i, label in enumerate(labels) if any(_same(label, value) for value in values)]
            missing = [value for value in values if not any(_same(label, value) for label in labels)]
            chosen = [] if missing else chosen
    if not chosen:
        some = ", ".join(str(label) for label in labels[:12]) + (", …" if len(labels) > 12 else "")
        raise StudyError(f"Step {step!r}: {array.name!r} has no {dim} {wanted!s}; it has {some}.")
    return chosen


def _same(label: object, value: object) -> bool:
    if isinstance(label, float) and isinstance(value, int | float):
        return bool(np.isclose(label, value))
    return label == value
