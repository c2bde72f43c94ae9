"""Results of parts of an experiment, put together to the result of the whole.

Each part (see `assay.experiments.restrict`) covers some values of the sweep's axes and some examples; together they must
cover everything once. What is ragged (captures of prompts of different lengths) is filled with NaN as in a whole run,
and reductions over examples, which parts leave out, are made at the end. Costs add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import xarray

from assay.core.errors import ExperimentError
from assay.core.result import Result
from assay.engine.table import apart, reduced
from assay.experiments.experiment import Experiment
from assay.experiments.restrict import Values
from assay.models.structure import AXES

AXIS_NAMES = frozenset(axis for axes in AXES.values() for axis in axes) | {"example", "position"}


@dataclass(frozen=True)
class Part:
    """A part's result and what it covers; an axis that is not named, and `examples=None`, are covered whole."""

    result: Result
    axes: Mapping[str, Values] = field(default_factory=dict)
    examples: Sequence[int] | None = None


def join(experiment: Experiment, parts: Sequence[Part], *, along: Mapping[str, Values]) -> Result:
    """The result of the whole experiment; `along` has all values of each axis of its sweep.

    Raises:
        ExperimentError: parts that leave a place out.
    """
    if not parts:
        raise ExperimentError("there are no parts to join: expected at least one.")
    whole = _Whole(experiment, parts, along)
    labels = [str(name) for name in parts[0].result.data.data_vars]
    variables = apart({label: whole.variable(label) for label in labels})
    used = {dim for variable in variables.values() for dim in variable.dims}
    coords = {name: list(values) for name, values in along.items() if name in used}
    facts = [fact for part in parts for fact in part.result.provenance.facts]
    provenance = parts[0].result.provenance.with_facts(*facts)
    provenance = provenance.model_copy(update={"experiment_hash": experiment.hash})
    return Result(xarray.Dataset(variables, coords=coords), provenance, reduce(add, (p.result.cost for p in parts)))


@dataclass(frozen=True)
class _Whole:
    experiment: Experiment
    parts: Sequence[Part]
    along: Mapping[str, Values]

    def variable(self, label: str) -> xarray.Variable:
        """One variable of all parts."""
        found = [(part, part.result.data.variables[label]) for part in self.parts]
        first = found[0][1]
        dims = tuple(self._plain(str(dim), label) for dim in first.dims)
        sizes = [self._size(i, dim, [variable for _, variable in found]) for i, dim in enumerate(dims)]
        array = np.full(sizes, np.nan)
        covered = np.zeros([n if self._is_place(dim) else 1 for n, dim in zip(sizes, dims, strict=True)], dtype=bool)
        for part, variable in found:
            places = [self._places(part, dim, n) for dim, n in zip(dims, variable.shape, strict=True)]
            if array.ndim:
                array[np.ix_(*places)] = variable.values
            else:
                array[()] = variable.values
            mine = [at if self._is_place(dim) else [0] for at, dim in zip(places, dims, strict=True)]
            covered[np.ix_(*mine) if mine else ()] = True
        if not covered.all():
            raise ExperimentError(f"the parts leave out {int((~covered).sum())} of {covered.size} places of {label!r}.")
        how = next((m.reduce_examples for m in self.experiment.metrics if (m.name or m.kind) == label), "none")
        if how == "none" or "example" not in dims:
            return xarray.Variable(dims, array)
        return reduced(array, dims, how, single=False)

    def _plain(self, dim: str, label: str) -> str:
        """The name of an axis without what set it apart from another variable's of the same name."""
        return dim if dim in AXIS_NAMES or dim in self.along else dim.removesuffix(f"_{label}")

    def _is_place(self, dim: str) -> bool:
        return dim in self.along or dim == "example"

    def _size(self, axis: int, dim: str, variables: Sequence[xarray.Variable]) -> int:
        if dim in self.along:
            return len(self.along[dim])
        if dim == "example" and self.parts[0].examples is not None:
            return max(max(part.examples or ()) for part in self.parts) + 1
        return max(variable.shape[axis] for variable in variables)

    def _places(self, part: Part, dim: str, n: int) -> list[int]:
        """Where a part's entries along an axis stand in the whole."""
        if dim in self.along:
            every: list[Any] = list(self.along[dim])
            return [every.index(value) for value in part.axes.get(dim, every)]
        if dim == "example" and part.examples is not None:
            return list(part.examples)
        return list(range(n))
