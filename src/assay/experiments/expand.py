"""The variants of a sweep: every combination of its axes' values, filled into the edits that leave them open.

Axes that name no values take all that there are: the layers that have all the sites that are swept, the heads there,
the positions of the prompt. The number of variants is the product of the axes' lengths.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.core.errors import ExperimentError
from assay.experiments.axes import Axis
from assay.experiments.edits import ANY_SITE, Edit, without_layer
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, head_axis
from assay.experiments.runs import Run

Coordinates = Mapping[str, int | float | str]


@dataclass(frozen=True)
class Variant:
    """One combination. `index` is its place in a result array with the sweep's axes in order."""

    index: tuple[int, ...]
    coords: Coordinates
    runs: Mapping[str, Run]
    """The swept runs, with their edits filled in."""
    main: str

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The main run's edits, filled in; none if it is not swept itself."""
        return self.runs[self.main].edits if self.main in self.runs else ()


def expand(experiment: Experiment, facts: Facts) -> Iterator[Variant]:
    """All variants, the last axis fastest. Without a sweep there is one, with no coordinates."""
    along = axes(experiment, facts)
    swept = {name: experiment.run(name) for name in experiment.swept()}
    heads = {edit.site: _can_take_head(edit, along, facts) for run in swept.values() for edit in run.edits}
    for places in itertools.product(*(range(len(values)) for values in along.values())):
        coords = {name: values[place] for (name, values), place in zip(along.items(), places, strict=True)}
        without_head = {name: value for name, value in coords.items() if name != "head"}
        runs = {
            name: run.with_edits(tuple(e.at(coords if heads[e.site] else without_head) for e in run.edits))
            for name, run in swept.items()
        }
        yield Variant(places, coords, runs, experiment.main)


def axes(experiment: Experiment, facts: Facts) -> dict[str, list[int | float | str]]:
    """The sweep's axes in order, each with all its values.

    Raises:
        ExperimentError: a value that is not there, or an axis whose values cannot be known.
    """
    if experiment.sweep is None:
        return {}
    edits = [edit for name in experiment.swept() for edit in experiment.run(name).edits]
    given = {axis.name: axis for axis in experiment.sweep.axes}
    sites = list(given["site"].values or ()) if "site" in given else []
    layers = _layers(given["layer"], edits, sites, facts) if "layer" in given else None
    found: dict[str, list[int | float | str]] = {}
    for axis in experiment.sweep.axes:
        if axis.name == "layer":
            found["layer"] = list(layers or ())
        elif axis.name == "head":
            found["head"] = list(_heads(axis, edits, sites, layers, facts))
        elif axis.name == "pos" and axis.values is None:
            found["pos"] = list(range(_prompt_length(experiment, facts)))
        else:
            found[axis.name] = list(axis.values or ())
    return found


def _names(edits: Iterable[Edit], sites: Sequence[object]) -> list[str]:
    """The site names that edits mean, those of a swept site in place of `*`."""
    names = [str(name) for edit in edits for name in (sites if edit.site == ANY_SITE else [edit.site])]
    return list(dict.fromkeys(names))


def _layers(axis: Axis, edits: Sequence[Edit], sites: Sequence[object], facts: Facts) -> list[int]:
    names = _names([edit for edit in edits if edit.is_free("layer")], sites)
    if fixed := [name for name in names if not without_layer(name)]:
        raise ExperimentError(
            f"the axis 'layer' would leave {', '.join(fixed)} as it is: give sites without a layer, or drop the axis."
        )
    there = {name: [site.layer for site in facts.sites(name)] for name in names}
    shared = [layer for layer in next(iter(there.values())) if all(layer in other for other in there.values())]
    wanted = shared if axis.values is None else list(axis.values)
    for layer in wanted:
        for name, layers in there.items():
            if layer not in layers:
                raise ExperimentError(
                    f"the sweep asks for layer {layer} of {name!r}: its layers are {_ranges(layers)}."
                )
    if not wanted:
        shown = "; ".join(f"{name} in {_ranges(layers)}" for name, layers in there.items())
        raise ExperimentError(f"no layer has all the sites that are swept: {shown}.")
    return [int(layer) for layer in wanted if layer is not None]


def _heads(
    axis: Axis, edits: Sequence[Edit], sites: Sequence[object], layers: Sequence[int] | None, facts: Facts
) -> list[int]:
    names = _names([edit for edit in edits if edit.is_free("head")], sites)
    counts = {name: _head_counts(name, layers, facts) for name in names}
    if headless := [str(site) for site in sites if not counts.get(str(site), {0})]:
        raise ExperimentError(f"{', '.join(headless)} has no heads: drop the axis 'head', or the site.")
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        raise ExperimentError(f"none of {', '.join(names)} has heads: drop the axis 'head', or edit z, q, pattern, ….")
    fewest = min(min(count) for count in counts.values())
    if axis.values is None and len(set().union(*counts.values())) > 1:
        shown = "; ".join(f"{name} has {' or '.join(map(str, sorted(count)))}" for name, count in counts.items())
        raise ExperimentError(f"the swept sites differ in their number of heads ({shown}): give over={{'head': …}}.")
    wanted = list(range(fewest)) if axis.values is None else [int(value) for value in axis.values]
    for head in wanted:
        if not 0 <= head < fewest:
            raise ExperimentError(f"the sweep asks for head {head}: {', '.join(counts)} have heads 0-{fewest - 1}.")
    return wanted


def _head_counts(name: str, layers: Sequence[int] | None, facts: Facts) -> set[int]:
    """How many heads there are at a site, over the layers that are swept; empty if it has no head axis."""
    sites = facts.sites(name)
    if layers is not None and without_layer(name):
        sites = [site for site in sites if site.layer in layers]
    return {site.sizes[axis] for site in sites if (axis := head_axis(site)) is not None}


def _can_take_head(edit: Edit, along: Mapping[str, Sequence[object]], facts: Facts) -> bool:
    if "head" not in along:
        return True
    return all(head_axis(s) is not None for name in _names([edit], along.get("site", ())) for s in facts.sites(name))


def _prompt_length(experiment: Experiment, facts: Facts) -> int:
    lengths: set[int] = set()
    for name in experiment.swept():
        counts = facts.lengths(experiment.run(name).input)
        if counts is None:
            raise ExperimentError(
                "this input has no tokens to count: give the sweep its positions, over={'pos': [...]}."
            )
        lengths.update(counts)
    if len(lengths) != 1:
        raise ExperimentError(
            f"the prompts that are swept have {' or '.join(map(str, sorted(lengths)))} tokens, so their positions do "
            "not line up: give named positions, over={'pos': ['subject', 'end']}, or prompts of one length."
        )
    return lengths.pop()


def _ranges(layers: Sequence[int | None]) -> str:
    """`0-3, 5`."""
    numbers = sorted(layer for layer in layers if layer is not None)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
