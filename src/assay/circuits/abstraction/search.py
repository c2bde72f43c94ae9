"""A space searched at every place for every variable: what was found, how well it does, and what it is compared with.

Trained on the split `train`, stopped on `validation`, measured on `test`, whose settings are in neither. Beside each IIA
stand a random part of the same width at the same place, and the same search in a network with shuffled weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.circuits.abstraction.alignment import Alignment
from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.measuring import Answered, answered
from assay.circuits.abstraction.places import Places
from assay.circuits.abstraction.spaces import Settled, Space
from assay.circuits.abstraction.table import Table
from assay.circuits.abstraction.training import Examples, Trained, Training, evaluate, train
from assay.circuits.abstraction.untrained import untrained
from assay.core.errors import DataError, SettingsError, nearest
from assay.core.progress import report
from assay.core.provenance import Cost
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments.sourced_edits import Patch

Make = Callable[[Examples, int], Space]
"""A space to be searched, from a place's examples and a seed."""


@dataclass(frozen=True)
class Fit:
    """What a search found at one place."""

    alignment: Alignment
    settled: Settled
    trained: Trained
    train_iia: float
    entries: int
    """Entries of the place, or features of the dictionary."""
    cost: Cost
    """Passes from the site on, of training."""


@dataclass(frozen=True)
class Search:
    """One space at many places."""

    method: str
    make: Make
    places: Places
    training: Training
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the alignments, such as their dictionary."""

    def run(self, model: Model, data: Counterfactuals, *, baseline: bool) -> Result:
        """IIA over (variable, layer, pos), and the alignments that were found (`alignment_of` gives them back)."""
        table, found = Table(self.places), list[Fit]()
        other = untrained(model, seed=self.training.seed) if baseline else None
        total, done = len(data.variables) * len(self.places.cells) * (2 if baseline else 1), 0
        for variable in data.variables:
            test = data.of(variable, split="test")
            fits = []
            for cell in self.places.cells:
                fits.append(self.fit(model, data.of(variable), cell))
                report(done := done + 1, total)
            columns = {
                "train_iia": [fit.train_iia for fit in fits],
                "epochs": [float(fit.trained.epochs) for fit in fits],
                "width": [float(fit.alignment.width or fit.entries * (fit.alignment.width is None)) for fit in fits],
            }
            table.add(variable, answered(model, test, [fit.alignment for fit in fits]), test, **columns)
            table.cost += sum((fit.cost for fit in fits), start=Cost())
            self._random(model, test, fits, table, variable)
            if other is not None:
                rivals = []
                for cell in self.places.cells:
                    rivals.append(self.fit(other, data.of(variable), cell).alignment)
                    report(done := done + 1, total)
                measured = answered(other, test, rivals)
                table.compare(variable, "untrained", measured.correct.mean(-1), measured.cost)
            found += fits
        attrs = {"method": self.method, "sites": [str(site) for site in self.places.sites], **self.more}
        attrs["head"] = -1 if self.places.head is None else self.places.head
        how = f"{self.training.epochs} epochs at most, seed {self.training.seed}"
        facts = (f"{self.method}: {how}; trained, stopped and measured on settings that no other split has",)
        return table.result(facts=facts, attrs=attrs, more=_arrays(found, table, self.places))

    def fit(self, model: Model, data: Counterfactuals, cell: Patch) -> Fit:
        """Search one place for one variable, whose examples `data` are."""
        seed, size = self.training.seed, self.training.batch
        examples, held_out = (
            Examples.of(model, data.of(split=split), cell, size=size, seed=seed) for split in ("train", "validation")
        )
        space = self.make(examples, seed)
        trained = train(space, examples, held_out, training=self.training)
        settled = space.settled()
        made = Alignment.of(settled, cell, variable=data.variables[0], method=self.method, **self.more)
        entries = len(space.parameters()[0]) if settled.features is not None else examples.width
        passes = {"passes": trained.steps, "rows": trained.steps * size, "backward_passes": trained.steps}
        return Fit(made, settled, trained, evaluate(space, examples)[1], entries, Cost(**passes))

    def _random(self, model: Model, test: Counterfactuals, fits: Sequence[Fit], table: Table, variable: str) -> None:
        """The same widths, at random."""
        seed = self.training.seed
        rivals = [fit.settled.random(fit.entries, seed=seed) for fit in fits]
        if any(rival is None for rival in rivals):
            return
        alignments = [
            Alignment.of(rival, cell, variable=variable, method="random", **self.more)
            for rival, cell in zip(rivals, self.places.cells, strict=True)
            if rival is not None
        ]
        measured: Answered = answered(model, test, alignments)
        table.compare(variable, "random", measured.correct.mean(-1), measured.cost)


def alignment_of(
    result: Result, *, variable: str | None = None, layer: int | str | None = None, pos: str | int | None = None
) -> Alignment:
    """One alignment of a result of `das` and the like; what is left out is where IIA is highest.

    Raises:
        DataError: the result holds no alignments, or none there.
    """
    if "basis" not in result and "mask" not in result:
        raise DataError("this result holds no alignments: expected one of das, boundless_das, dbm, and the like.")
    axis = "layer" if "layer" in result.data.dims else "site"
    where = {"variable": variable, axis: layer, "pos": None if pos is None else str(pos)}
    iia = result["iia"]
    for name, value in where.items():
        if value is None:
            continue
        known = list(iia[name].values.tolist())
        if value not in known:
            near = nearest(str(value), map(str, known))
            raise DataError(f"no alignment at {name} {value!r}: there are {', '.join(map(str, known))}.{near}")
        iia = iia.sel({name: [value]})
    best = iia.isel(iia.argmax(...))
    chosen = {name: best[name].item() for name in where}
    row = result.data.sel(chosen)
    sites = [str(site) for site in result.data.attrs["sites"]]
    site = sites[result.data.coords[axis].values.tolist().index(chosen[axis])]
    return _rebuilt(result, row, site, chosen)


def _rebuilt(result: Result, row: Any, site: str, chosen: Mapping[str, Any]) -> Alignment:
    attrs, fields = result.data.attrs, dict[str, Any]()
    if "basis" in row:
        basis = row["basis"].values
        kept = basis[:, np.isfinite(basis).all(0)].astype(np.float32)
        fields["basis" if kept.shape[1] else "dims"] = kept if kept.shape[1] else ()
    else:
        inside = tuple(int(i) for i in np.flatnonzero(row["mask"].values > 0.5))
        fields["features" if "dictionary" in attrs else "dims"] = inside
    if "dictionary" in attrs:
        fields["dictionary"] = str(attrs["dictionary"])
    facts = (
        f"IIA {row['iia'].item():.3f} [{row['iia_low'].item():.3f}, {row['iia_high'].item():.3f}] on held-out settings",
    )
    head, pos = int(attrs["head"]), str(chosen["pos"])
    where = {"pos": None if pos == "all" else int(pos) if pos.lstrip("-").isdigit() else pos}
    where["head"] = None if head < 0 else head
    return Alignment(
        variable=str(chosen["variable"]), method=str(attrs["method"]), site=site, **where, facts=facts, **fields
    )


def _arrays(fits: Sequence[Fit], table: Table, places: Places) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """What was found as arrays: a basis, NaN beyond its width, or a mask of coordinates or features."""
    shape, dims = (len(table.rows), *places.shape), ("variable", places.axis, "pos")
    entries = {fit.entries for fit in fits}
    if len(entries) > 1:
        raise SettingsError(f"the sites have different sizes ({sorted(entries)}): look at them one by one.")
    d = entries.pop()
    if any(fit.settled.basis is not None for fit in fits):
        bases = [np.asarray(fit.settled.basis) for fit in fits]
        most = max(1, *(basis.shape[1] for basis in bases))
        padded = [np.pad(basis, ((0, 0), (0, most - basis.shape[1])), constant_values=np.nan) for basis in bases]
        return {"basis": ((*dims, "entry", "direction"), np.stack(padded).reshape(*shape, d, most))}
    masks = np.zeros((len(fits), d))
    for row, fit in zip(masks, fits, strict=True):
        row[list(fit.settled.dims or fit.settled.features or ())] = 1
    return {"mask": ((*dims, "entry"), masks.reshape(*shape, d))}
