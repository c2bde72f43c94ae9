"""Which values come from where, and the exact effect of replacing each of many parts: sweeps on the schedule.

Noising starts from the clean run and replaces a part's value by the ablation's: what is lost is the part's score. Denoising
starts from the counterfactual run and puts the clean value back: what is gained is its score.

Cost: one forward pass of all examples for each part (and position), of which the schedule computes what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.circuits.ablation import AnyAblation, Counterfactual, Optimal
from assay.circuits.contrast import Contrast, Direction, base_and_source
from assay.circuits.measuring import PerExample, check_gap, reading, sign_of, total_fact
from assay.circuits.optimal import learned
from assay.circuits.places import KINDS, Part
from assay.circuits.replacement import Replacement, replacement
from assay.core.errors import SettingsError
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.sweep import sweep

Positions = Sequence[str | int] | None


@dataclass(frozen=True)
class Intervention:
    """A base run, what replaces parts of it, and what is measured."""

    pairs: Pairs
    base: str
    replaced: Replacement
    metric: Metric
    what: str
    """The ablation in words."""

    @property
    def sign(self) -> float:
        """A part's score is this times the metric's change when the part is replaced."""
        return sign_of(self.metric) * (1 if self.base == "corrupt" else -1)

    @property
    def fact(self) -> str:
        """What is replaced by what, in words."""
        if self.base == "corrupt":
            return "put back: the clean prompt's value into the counterfactual run of the same pair"
        return f"replaced in the clean run, by {self.what}"


def intervene(
    model: Model, pairs: Pairs, parts: Sequence[Part], *, ablation: AnyAblation, direction: Direction, metric: Metric
) -> Intervention:
    """What replaces these parts. Constants that must be learned are learned here, one for each part by itself.

    Raises:
        SettingsError: denoising with values other than those of the pair.
    """
    base, source = base_and_source(direction)
    if direction == "denoise":
        if not isinstance(ablation, Counterfactual):
            raise SettingsError(
                "denoise puts clean values into the counterfactual run: it takes ablation=counterfactual."
            )
        return Intervention(pairs, base, Replacement(Contrast(pairs).inputs, {}, source), metric, str(ablation))
    if isinstance(ablation, Optimal):
        made, facts = learned(model, pairs, [[part] for part in parts], ablation=ablation, metric=metric)
        return Intervention(pairs, base, made, metric, f"{ablation}; {facts}")
    sites = list(dict.fromkeys(site for part in parts for site in part.sites))
    return Intervention(pairs, base, replacement(pairs, ablation, sites), metric, str(ablation))


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


def effects(model: Model, made: Intervention, parts: Sequence[Part], positions: Positions = None) -> Effects:
    """The exact score of each part; with `positions`, of each part at each of them (an empty list: at every index).

    Raises:
        DataError: the metric does not tell clean from counterfactual prompts, though the ablation needs it to.
    """
    rows: dict[str, np.ndarray] = {}
    found = None
    for group in grids(parts):
        experiment = _experiment(made, group, positions)
        found = model.measure(experiment, engine="scheduled")
        kind = KINDS[group[0].granularity]
        inner = [] if positions is None else ["pos"]
        axes = ["layer"] if kind.axis is None else ["layer", kind.axis]
        base = found.data[made.base].values
        change = made.sign * (found.data["changed"].transpose(*axes, *inner, "example").values - base)
        cells = change.reshape(len(group), *change.shape[len(axes) :])
        rows |= {part.name: cell for part, cell in zip(group, cells, strict=True)}
    assert found is not None  # there is at least one part
    clean, corrupt = found.data["clean"].values, found.data["corrupt"].values
    if made.replaced.source in ("clean", "corrupt"):
        check_gap(made.metric, clean, corrupt)
    engine = tuple(f for f in found.provenance.facts if f.startswith(("engine: ", "the schedule ")))
    facts = (made.fact, total_fact(made.metric, {"clean": clean, "counterfactual": corrupt}), *engine)
    values = np.stack([rows[part.name] for part in parts])
    return Effects(tuple(parts), values, clean, corrupt, facts, found.provenance, found.cost)


def _experiment(made: Intervention, group: Sequence[Part], positions: Positions) -> Experiment:
    kind = KINDS[group[0].granularity]
    over: dict[str, list[str] | list[int] | list[str | int] | None] = {"layer": sorted({part.layer for part in group})}
    if kind.axis is not None:
        over[kind.axis] = sorted({part.index for part in group if part.index is not None})
    if positions is not None:
        over["pos"] = list(positions) or None
    names = [site.split(".", 1)[1] for site in group[0].sites]
    return sweep(
        [made.replaced.edit(name) for name in names],
        over,
        inputs=made.replaced.inputs,
        base=made.base,
        metrics=(*reading(made.metric, changed="swept"), *reading(made.metric, clean="clean", corrupt="corrupt")),
        runs=made.replaced.runs,
    )


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
