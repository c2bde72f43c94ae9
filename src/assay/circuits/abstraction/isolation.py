"""Several variables in one place: does an alignment move its own variable, and leave the others alone?

    cause        IIA where the variable's value should change the label
    isolate      IIA where the label should stay, though it would change if every variable took the source's value
    disentangle  their mean

An alignment of the whole place has a high cause and a low isolate; one that does nothing the reverse. `das` and `dbm` here
are trained on examples of the first sort alone, `mdas` and `mdbm` on all, so that they must isolate too. Causal models in
which an input says what is asked (`"country if ask == 'country' else continent"`) give data of this kind.
Source: RAVEL, Huang et al. 2024, arXiv:2402.17700.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from assay.circuits.abstraction.alignment import Alignment
from assay.circuits.abstraction.axes import MASK, components
from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.das import ASSUMES, FAILS, HOW
from assay.circuits.abstraction.interchange import HEAD
from assay.circuits.abstraction.measuring import answered
from assay.circuits.abstraction.places import Places, Position
from assay.circuits.abstraction.spaces import Masked, Rotated, Space, Subspace, Whole
from assay.circuits.abstraction.training import TRAINING, Examples, Training, train
from assay.circuits.claims import COMPARED
from assay.core.errors import DataError, SettingsError
from assay.core.progress import report
from assay.core.provenance import Cost
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments.sourced_edits import Patch
from assay.stats.bootstrap import Units, bootstrap_statistic
from assay.stats.proportion import wilson_of

Kind = Literal["whole", "pca", "dbm", "mdbm", "das", "mdas"]
KINDS: tuple[Kind, ...] = ("whole", "pca", "dbm", "mdbm", "das", "mdas")


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2402.17700",
    cost="the trainings of the kinds that are trained, for each variable",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=COMPARED,
)
def disentangle(
    model: Model,
    data: Counterfactuals,
    *,
    site: Annotated[str, "the one site where all variables are looked for"],
    position: Annotated[Position, "a named position or index; nothing means all positions at once"] = None,
    head: Annotated[int | None, HEAD] = None,
    rank: Annotated[int, Field(ge=1), "dimensions of subspaces"] = 1,
    kinds: Annotated[tuple[Kind, ...], "the alignments that are compared"] = KINDS,
    training: Annotated[Training, HOW] = TRAINING,
) -> Result:
    """How well alignments of several variables in one place cause, isolate and disentangle, on held-out settings.

    `cause`, `isolate` (with Wilson intervals) and `disentangle` (bootstrap) over (kind, variable), and `width`.
    """
    cell = Places.of(model, (site,), None if position is None else (position,), head).cells
    if len(cell) != 1:
        raise SettingsError(f"{site!r} means {len(cell)} sites: variables are disentangled in one.")
    if not kinds:
        raise SettingsError(f"there is no kind of alignment to compare: expected some of {', '.join(KINDS)}.")
    rows, made, cost = [], None, Cost()
    for done, variable in enumerate(data.variables):
        some, test = data.of(variable), data.of(variable, split="test")
        _both_sorts(test, variable)
        found = [_fit(model, some, cell[0], kind=kind, rank=rank, training=training) for kind in kinds]
        measured = answered(model, test, found)
        pairs = zip(measured.correct, found, strict=True)
        rows.append([{**_scores(row, test), "width": float(each.width or np.nan)} for row, each in pairs])
        made, cost = measured.provenance, cost + measured.cost
        report(done + 1, len(data.variables))
    names = list(rows[0][0])
    table = {name: (("variable", "kind"), np.array([[each[name] for each in row] for row in rows])) for name in names}
    dataset = xr.Dataset(table, coords={"variable": list(data.variables), "kind": list(kinds)})
    assert made is not None  # data have at least one variable
    return Result(
        dataset, made.with_facts(f"rank {rank} where a rank is given; {training.epochs} epochs at most"), cost
    )


@dataclass(frozen=True)
class _Place:
    """What a space is made for."""

    examples: Examples
    rank: int
    seed: int

    def space(self, kind: Kind) -> Space:
        width = self.examples.width
        if not self.rank <= width:
            raise SettingsError(
                f"a subspace of {self.rank} dimensions in a place of {width}: expected from 1 to {width}."
            )
        match kind:
            case "whole":
                return Whole()
            case "pca":
                return Subspace(components(self.examples.activations())[:, : self.rank])
            case "dbm" | "mdbm":
                return Masked(width, cost=MASK.cost, temperature=(MASK.hottest, MASK.coldest))
            case "das" | "mdas":
                return Rotated(width, self.rank, seed=self.seed)


def _fit(model: Model, data: Counterfactuals, cell: Patch, *, kind: Kind, rank: int, training: Training) -> Alignment:
    """Trained on what it is to cause, or (with an m) on what it is to leave alone too."""

    def examples(split: str) -> Examples:
        some = data.of(split=split)
        some = some if kind.startswith("m") else some.take(np.flatnonzero(some.changes).tolist())
        return Examples.of(model, some, cell, size=training.batch, seed=training.seed)

    seen = examples("train")
    space = _Place(seen, rank, training.seed).space(kind)
    train(space, seen, examples("validation"), training=training)
    return Alignment.of(space.settled(), cell, variable=data.variables[0], method=kind)


def _scores(correct: np.ndarray, data: Counterfactuals) -> dict[str, float]:
    cause, isolate = correct[data.changes], correct[data.resists]
    ends = {"cause": wilson_of(cause), "isolate": wilson_of(isolate)}
    units = [Units(len(cause)), Units(len(isolate))]

    def mean(first: np.ndarray, second: np.ndarray) -> float:
        return float((cause[first].mean() + isolate[second].mean()) / 2)

    ends["disentangle"] = bootstrap_statistic(mean, units, kind="percentile")
    parts = {"": "value", "_low": "low", "_high": "high"}
    return {f"{name}{end}": getattr(each, part) for name, each in ends.items() for end, part in parts.items()}


def _both_sorts(data: Counterfactuals, variable: str) -> None:
    if not data.resists.any() or not data.changes.any():
        lacking = "isolate it from: make data of several variables" if data.changes.any() else "cause"
        raise DataError(f"the examples of {variable!r} have nothing to {lacking}.")
