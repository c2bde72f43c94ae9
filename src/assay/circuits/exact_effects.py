"""The exact effect of replacing each of many parts by itself, at all positions or at each.

Cost: one forward pass of all examples for each part (and position). Parts that fill a grid of layers and indices are one
sweep, of which the schedule computes what differs; a few scattered ones are run one by one, which costs less than the
unchanged passes that each sweep of its own would need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.circuits.intervention import Intervention
from assay.circuits.measuring import PerExample, check_gap, reading, total_fact
from assay.circuits.places import KINDS, Part
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run
from assay.experiments.sweep import sweep

Positions = Sequence[str | int] | None
FEW = 2
"""So many parts of a layer are run one by one, where other layers have other ones."""
AT_ONCE = 16
"""Runs in one experiment, and examples in one pass."""


@dataclass(frozen=True)
class Effects:
    """Scores of parts on each example, at each position if asked, and the unchanged runs."""

    parts: tuple[Part, ...]
    values: Float[np.ndarray, "part *pos example"]
    clean: PerExample
    corrupt: PerExample
    facts: tuple[str, ...]
    provenance: Provenance
    cost: Cost

    @property
    def names(self) -> list[str]:
        """The parts' names."""
        return [part.name for part in self.parts]


def effects(model: Model, made: Intervention, parts: Sequence[Part], *, positions: Positions = None) -> Effects:
    """The exact score of each part; with `positions`, of each part at each of them (an empty list: at every index).

    Raises:
        DataError: the metric does not tell clean from counterfactual prompts, though the ablation needs it to.
    """
    rows: dict[str, np.ndarray] = {}
    results: list[Result] = []
    groups = list(grids(parts))
    alone = [part for group in groups if positions is None and len(group) <= FEW < len(parts) for part in group]
    for group in groups:
        if group[0] not in alone:
            results.append(_swept(model, made, group, positions, rows))
    for start in range(0, len(alone), AT_ONCE):
        results.append(_one_by_one(model, made, alone[start : start + AT_ONCE], rows))
    first = results[0]
    clean, corrupt = first.data["clean"].values, first.data["corrupt"].values
    if made.replaced.source in ("clean", "corrupt"):
        check_gap(made.metric, clean, corrupt)
    engines = dict.fromkeys(fact for result in results for fact in engine_facts(result))
    facts = (made.fact, total_fact(made.metric, {"clean": clean, "counterfactual": corrupt}), *engines)
    values = np.stack([rows[part.name] for part in parts])
    cost = sum((result.cost for result in results), start=Cost())
    return Effects(tuple(parts), values, clean, corrupt, facts, first.provenance, cost)


def engine_facts(result: Result) -> list[str]:
    """Which engine did it, and why."""
    return [fact for fact in result.provenance.facts if fact.startswith(("engine: ", "the schedule "))]


def _swept(
    model: Model, made: Intervention, group: Sequence[Part], positions: Positions, rows: dict[str, np.ndarray]
) -> Result:
    """A grid of parts on the schedule; their scores go into `rows`."""
    kind = KINDS[group[0].granularity]
    over: dict[str, list[int] | list[str | int] | None] = {"layer": sorted({part.layer for part in group})}
    if kind.axis is not None:
        over[kind.axis] = sorted({part.index for part in group if part.index is not None})
    axes = list(over)
    if positions is not None:
        over["pos"] = list(positions) or None
    names = [site.split(".", 1)[1] for site in group[0].sites]
    experiment = sweep(
        [made.replaced.edit(name) for name in names],
        over,
        inputs=made.replaced.inputs,
        base=made.base,
        metrics=(*reading(made.metric, changed="swept"), *reading(made.metric, clean="clean", corrupt="corrupt")),
        runs=made.replaced.runs,
    )
    found = model.measure(experiment, engine="scheduled")
    inner = [] if positions is None else ["pos"]
    base = found.data[made.base].values
    change = made.sign * (found.data["changed"].transpose(*axes, *inner, "example").values - base)
    cells = change.reshape(len(group), *change.shape[len(axes) :])
    rows |= {part.name: cell for part, cell in zip(group, cells, strict=True)}
    return found


def _one_by_one(model: Model, made: Intervention, parts: Sequence[Part], rows: dict[str, np.ndarray]) -> Result:
    """Each part in a run of its own."""
    runs = {
        part.name: Run(input=made.base, edits=tuple(made.replaced.edit(site, **part.where) for site in part.sites))
        for part in parts
    }
    metrics = reading(made.metric, **{name: name for name in runs}, clean="clean", corrupt="corrupt")
    every = {**made.replaced.runs, **runs}
    experiment = Experiment(inputs=dict(made.replaced.inputs), runs=every, metrics=metrics, main=parts[0].name)
    found = model.measure(experiment, batch=AT_ONCE)
    rows |= {name: made.sign * (found.data[name].values - found.data[made.base].values) for name in runs}
    return found


def grids(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts in groups that each fill a grid of layers and indices, so that each is one sweep."""
    by_layer: dict[tuple[str, int], list[Part]] = {}
    for part in sorted(parts, key=lambda p: (p.granularity, p.layer, p.index or 0)):
        by_layer.setdefault((part.granularity, part.layer), []).append(part)
    grids: dict[tuple[object, ...], list[Part]] = {}
    for (granularity, _), group in by_layer.items():
        sites = tuple(site.split(".", 1)[1] for site in group[0].sites)
        grids.setdefault((granularity, sites, tuple(part.index for part in group)), []).extend(group)
    yield from grids.values()
