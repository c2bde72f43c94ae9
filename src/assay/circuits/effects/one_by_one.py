"""Runs that ablate one part at a time: parts that fill a grid of layers and heads are one sweep, the rest a run each.

What a run does is written once, with edits that stand for the part: in a sweep they leave layer and head open. The schedule
then begins each variant at its own layer, and computes what later layers do for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from assay.circuits.effects.parts import ROWS, Part, refuse_same, unchanged_and
from assay.circuits.exact_effects import FEW, engine_facts
from assay.circuits.measuring import PerExample, sign_of
from assay.circuits.path_patching import holding
from assay.circuits.replacement import Replacement
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.core.sites import SiteName
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.axes import Axis, Sweep
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run


@dataclass(frozen=True)
class Place:
    """The part, or the parts, of some runs."""

    ablate: Edit
    restore: Edit
    """The part's clean value again."""
    first: int
    """The first layer among the parts'."""
    suffix: str = ""
    """What the names of its runs end with."""

    def run(self, kind: str) -> str:
        """What a run of a kind is called."""
        return f"{kind}{self.suffix}"


RunsOf = Callable[[Place], Mapping[str, tuple[Edit, ...]]]
"""By kind, the edits of each run of the clean prompts; a run's name in edits is `place.run(kind)`."""


@dataclass
class OneByOne:
    """What is measured of each part."""

    clean: PerExample = field(default_factory=lambda: np.array([]))
    rows: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """By kind of run and part: the metric for each example, larger where there is more of the behaviour."""
    cost: Cost = field(default_factory=Cost)
    provenance: Provenance = field(default_factory=Provenance)

    def of(self, kind: str, chosen: Sequence[Part]) -> np.ndarray:
        """[part, example] of a kind of run."""
        return np.stack([self.rows[kind, each.name] for each in chosen])

    def take(self, found: Result, by: Replacement, metric: Metric) -> None:
        """The unchanged run, the cost and where it comes from."""
        first = self.provenance if len(self.clean) else found.provenance
        self.provenance = first.with_facts(*engine_facts(found))
        refuse_same(found, by, metric)
        self.clean, self.cost = sign_of(metric) * found.data["clean"].values.astype(float), self.cost + found.cost


def one_by_one(
    model: Model, by: Replacement, chosen: Sequence[Part], *, runs_of: RunsOf, metric: Metric, at_once: int
) -> OneByOne:
    """The metric in each kind of run of each part. `at_once` parts without a grid share an experiment."""
    made, sign = OneByOne(), sign_of(metric)
    groups = list(_grids(chosen))
    alone = [each for group in groups if len(group) <= FEW or group[0].layer < 0 for each in group]
    for group in groups:
        if group[0] not in alone:
            _swept(model, by, group, runs_of, metric, made)
    for start in range(0, len(alone), at_once):
        runs: dict[str, Run] = {}
        kinds: dict[str, tuple[str, str]] = {}
        for each in alone[start : start + at_once]:
            where = {} if each.head is None else {"head": each.head}
            again = edit.freeze(each.site, "clean", **where)
            place = Place(by.edit(each.site, **where), again, max(each.layer, 0), f" {each.name}")
            for kind, edits in runs_of(place).items():
                runs[place.run(kind)] = Run(input="clean", edits=edits)
                kinds[place.run(kind)] = kind, each.name
        metrics = unchanged_and(metric, runs)
        every = {**by.runs, **runs}
        experiment = Experiment(inputs=dict(by.inputs), runs=every, metrics=metrics, main=next(iter(runs)))
        found = model.measure(experiment, batch=ROWS)
        made.take(found, by, metric)
        made.rows |= {kinds[name]: sign * found.data[f"m {name}"].values.astype(float) for name in runs}
    return made


def _swept(
    model: Model, by: Replacement, group: Sequence[Part], runs_of: RunsOf, metric: Metric, made: OneByOne
) -> None:
    """A grid of parts as one sweep."""
    site, layers = group[0].site.split(".", 1)[1], sorted({each.layer for each in group})
    place = Place(by.edit(site), edit.freeze(site, "clean"), layers[0])
    runs = {kind: Run(input="clean", edits=edits) for kind, edits in runs_of(place).items()}
    over = [Axis(name="layer", values=layers)]
    if group[0].head is not None:
        over.append(Axis(name="head", values=sorted({each.head for each in group if each.head is not None})))
    experiment = Experiment(
        inputs=dict(by.inputs),
        runs={**by.runs, **runs},
        metrics=unchanged_and(metric, runs),
        main=next(iter(runs)),
        sweep=Sweep(axes=tuple(over), runs=tuple(runs)),
    )
    found, sign = model.measure(experiment, engine="scheduled"), sign_of(metric)
    made.take(found, by, metric)
    for kind in runs:
        cells = found.data[f"m {kind}"].transpose(*(axis.name for axis in over), "example").values.astype(float)
        for each, row in zip(group, sign * cells.reshape(len(group), -1), strict=True):
            made.rows[kind, each.name] = row


def held_from(model: Model, first: int, source: str) -> tuple[Edit, ...]:
    """Edits that hold all that writes to the residual stream from a layer on at what it writes in another run."""
    every = holding(model, source, set(), freeze_mlps=True)
    return tuple(each for each in every if (SiteName.parse(each.site).layer or 0) >= first)


def _grids(chosen: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts in groups that each fill a grid of layers and heads."""
    layers: dict[tuple[str, int], list[Part]] = {}
    for each in sorted(chosen, key=lambda each: (*each.when, each.head or 0)):
        kind = each.name if each.layer < 0 else f"{each.site.split('.', 1)[1]} {each.head is None}"
        layers.setdefault((kind, each.layer), []).append(each)
    grids: dict[tuple[str, tuple[int | None, ...]], list[Part]] = {}
    for (kind, _), group in layers.items():
        grids.setdefault((kind, tuple(each.head for each in group)), []).extend(group)
    yield from grids.values()
