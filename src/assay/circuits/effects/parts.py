"""Parts of a model as places for edits: which site a name means, what comes later, and edits that ablate or hold them.

A part is `embed` (what enters the first layer), a head `L3.H2`, a layer's attention `L3.attn` or an MLP `L3.mlp`. Edits act
at all positions. Held parts keep another run's value, whatever happens before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.circuits.ablation import AnyAblation
from assay.circuits.measuring import check_gap, reading, sign_of
from assay.circuits.replacement import Replacement, replacement
from assay.core.errors import DataError
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

ABLATION = "what an ablated part's output is replaced by, at all positions"
ROWS = 16
"""Examples in one forward pass."""
_PART = re.compile(r"^L(\d+)\.(?:H(\d+)|attn|mlp)$")


@dataclass(frozen=True)
class Part:
    """One part: its name, the site that holds what it writes, and its head there."""

    name: str
    site: str
    layer: int
    rank: int
    """0 attention and heads, 1 MLP; the embedding is before layer 0."""
    head: int | None = None

    @property
    def when(self) -> tuple[int, int]:
        """Its place in forward order."""
        return self.layer, self.rank


def part(name: str) -> Part:
    """The part of that name.

    Raises:
        DataError: the name is not a part's.
    """
    if name == "embed":
        return Part(name, "L0.resid_pre", -1, 0)
    match = _PART.match(name)
    if match is None:
        raise DataError(f"{name!r} is not a part: expected embed, a head such as L3.H2, L3.attn or L3.mlp.")
    layer = int(match[1])
    if match[2] is not None:
        return Part(name, f"L{layer}.z", layer, 0, int(match[2]))
    return Part(name, f"L{layer}.{name.split('.')[1]}_out", layer, int(name.endswith("mlp")))


def parts(names: Sequence[str], *, least: int = 1) -> list[Part]:
    """Different parts, at least so many."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(f"{twice} is named twice: name each part once.")
    if len(names) < least:
        raise DataError(f"{len(names)} parts were named; at least {least} are needed.")
    return [part(name) for name in names]


def ablated(chosen: Iterable[Part], by: Replacement) -> tuple[Edit, ...]:
    """Edits that replace what these parts write."""
    return tuple(by.edit(site, head=heads) for site, heads in _by_site(chosen).items())


def held(chosen: Iterable[Part], source: str) -> tuple[Edit, ...]:
    """Edits that hold these parts at what they write in another run."""
    return tuple(edit.freeze(site, source, head=heads) for site, heads in _by_site(chosen).items())


def replaced(pairs: Pairs, ablation: AnyAblation, chosen: Iterable[Part]) -> Replacement:
    """What replaces these parts when they are ablated."""
    return replacement(pairs, ablation, list(_by_site(chosen)))


def measured(
    model: Model, by: Replacement, runs: Mapping[str, Run], *, metric: Metric
) -> tuple[dict[str, np.ndarray], Result]:
    """The metric in each run for each example, in the unchanged `clean` run too; larger is more of the behaviour."""
    metrics, every = unchanged_and(metric, runs), {**by.runs, **runs}
    found = model.measure(
        Experiment(inputs=dict(by.inputs), runs=every, metrics=metrics, main=next(iter(runs))), batch=ROWS
    )
    refuse_same(found, by, metric)
    names = {"clean": "clean", **{name: f"m {name}" for name in runs}}
    return {name: sign_of(metric) * found.data[m].values.astype(float) for name, m in names.items()}, found


def unchanged_and(metric: Metric, runs: Iterable[str]) -> tuple[Metric, ...]:
    """The metric of the two unchanged runs, and of these."""
    return reading(metric, clean="clean", corrupt="corrupt", **{f"m {name}": name for name in runs})


def refuse_same(found: Result, by: Replacement, metric: Metric) -> None:
    """Raise DataError where counterfactual values are put in, and both prompts of the pairs have the same metric."""
    if by.source == "corrupt":
        check_gap(metric, found.data["clean"].values, found.data["corrupt"].values)


def _by_site(chosen: Iterable[Part]) -> dict[str, list[int] | None]:
    """The parts of each site, earlier sites first."""
    sites: dict[str, list[int] | None] = {}
    for each in sorted(chosen, key=lambda each: (*each.when, each.head or 0)):
        if each.head is None:
            sites[each.site] = None
        elif (heads := sites.setdefault(each.site, [])) is not None:
            heads.append(each.head)
    return sites
