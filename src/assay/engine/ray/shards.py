"""How an experiment is parted: by examples that share a pass, and where there are too few of those, by variants too.

A part is never smaller than a pass of the local engine (a group of examples of one length, or `batch` of them), so that
every pass has the shape that it would have had here, and its bits. Parts of examples cost nothing extra. Each part of the
variants makes the runs that do not vary once more: one plain pass beside a hundred variants, say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import ceil, prod
from typing import Any

from assay.engine.rows import batch_size, groups
from assay.experiments.executed import executed
from assay.experiments.experiment import Experiment
from assay.experiments.restrict import Values, why_together
from assay.models.prompts import Prompts


@dataclass(frozen=True)
class Shard:
    """A part: values of axes, examples (None: all), and how much it is, in variants times examples."""

    number: int
    axes: Mapping[str, Values] = field(default_factory=dict)
    examples: tuple[int, ...] | None = None
    size: int = 1

    def __str__(self) -> str:
        places = [f"{name} {values[0]} … {values[-1]}" for name, values in self.axes.items()]
        who = [] if self.examples is None else [f"{len(self.examples)} examples from {self.examples[0]} on"]
        return ", ".join([*places, *who]) or "all of it"


def shards(
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    along: Mapping[str, Values],
    *,
    wanted: int,
    batch: int | None = None,
) -> list[Shard]:
    """About `wanted` parts, those with the first values of each axis first: in a schedule they are the longest."""
    passes = _passes(experiment, prompts, batch)
    rows = _shared_out(passes, wanted)
    slices = slices_of(along, ceil(wanted / len(rows)))
    total = max(len(found) for found in prompts.values())
    found: list[Shard] = []
    for axes, examples in product(slices, rows):
        variants = prod(len(values) for values in axes.values())
        found.append(Shard(len(found), axes, examples, variants * (total if examples is None else len(examples))))
    return found


def slices_of(along: Mapping[str, Values], wanted: int) -> list[dict[str, Values]]:
    """A grid of at least `wanted` slices, if there are so many variants; longer axes are cut first."""
    cuts = dict.fromkeys(along, 1)
    while prod(cuts.values()) < wanted:
        name = max(along, key=lambda axis: len(along[axis]) / cuts[axis], default=None)
        if name is None or cuts[name] == len(along[name]):
            break
        cuts[name] += 1
    pieces = [[(name, run) for run in _even(list(values), cuts[name])] for name, values in along.items()]
    return [{name: run for name, run in choice if cuts[name] > 1} for choice in product(*pieces)] or [{}]


def _passes(experiment: Experiment, prompts: Mapping[str, Prompts], batch: int | None) -> list[list[int]]:
    """The examples of each pass that may be run apart from the others; one for all, if they belong together."""
    used = list(dict.fromkeys(experiment.run(name).input for name in executed(experiment)))
    if why_together(experiment)[0] == "always":
        return [[]]
    return groups(prompts, used, at_most=batch_size(experiment, batch))


def _shared_out(passes: Sequence[list[int]], wanted: int) -> list[tuple[int, ...] | None]:
    """The passes in at most `wanted` parts of about as many examples each."""
    if len(passes) == 1:
        return [None]
    total, so_far = sum(map(len, passes)), 0
    parts: list[tuple[int, list[int]]] = []
    for rows in passes:
        place = min(wanted - 1, so_far * wanted // total)
        so_far += len(rows)
        if not parts or place > parts[-1][0]:
            parts.append((place, []))
        parts[-1][1].extend(rows)
    return [tuple(rows) for _, rows in parts] if len(parts) > 1 else [None]


def _even(values: list[Any], parts: int) -> list[list[Any]]:
    size, more = divmod(len(values), parts)
    starts = [i * size + min(i, more) for i in range(parts + 1)]
    return [values[i:j] for i, j in pairwise(starts)]
