"""Activation patching and ablation of parts at any granularity: how much of the behaviour hangs on each.

    score(part) = m(part kept) − m(part replaced)         in the metric's unit; parts that help are positive

`patch` replaces by the paired prompt's value, in either direction; `ablate` replaces in the clean run by the ablation that
is named. Each has a form with positions, which gives a Result over (component, pos, example).

Noising finds parts that are needed, denoising parts that are enough; they differ where parts back each other up or need
each other (Heimersheim & Nanda 2024, arXiv:2404.15255). Cost: at most one forward pass of all examples for each part
and position; the schedule computes what differs. Sources: Meng et al. 2022, arXiv:2202.05262; Zhang & Nanda 2023,
arXiv:2309.16042.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import xarray as xr

from assay.circuits.ablation import Ablation, AnyAblation, Counterfactual, as_ablation
from assay.circuits.claims import PLACES
from assay.circuits.contrast import Direction
from assay.circuits.exact_effects import Effects, Positions, effects
from assay.circuits.intervention import intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.places import GRANULARITY, Granularity, parts_of
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

CITES = ("arXiv:2202.05262", "arXiv:2309.16042", "arXiv:2404.15255")
ASSUMES = "clean and counterfactual prompts that line up token by token and differ in what is studied and nothing else"
FAILS = (
    "another part takes over what the replaced one did (noising then shows too little), or several parts are needed "
    "together (denoising then shows too little); replaced values may be ones that the model never meets"
)
COST = "one forward pass of all examples for each part, and three more; the schedule computes what differs"
COST_POSITIONS = (
    "one forward pass of all examples for each part and position, and three more; the schedule computes what differs"
)
DIRECTION = "denoise: clean values into the counterfactual run; noise: counterfactual values into the clean run"
ABLATION = "what a part is replaced by in the clean run"
LAYERS = "only parts in these layers; nothing means all"
POSITIONS = "named positions or indices; nothing means every index, for prompts of one length"


@method(intervenes=True, gives=Scores, cites=CITES, cost=COST, assumes=ASSUMES, fails_when=FAILS)
def patch(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    layers: Annotated[tuple[int, ...] | None, LAYERS] = None,
) -> Scores:
    """Which parts carry the difference between the prompts of a pair: each patched by itself, at all positions."""
    found = _found(model, pairs, granularity, Counterfactual(), direction, metric, layers)
    return _scores(found, "gained in the counterfactual run" if direction == "denoise" else "lost in the clean run")


@method(
    intervenes=True, gives=Result, cites=CITES, cost=COST_POSITIONS, assumes=ASSUMES, fails_when=FAILS, claim=PLACES
)
def patch_positions(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    positions: Annotated[tuple[str | int, ...] | None, POSITIONS] = None,
    layers: Annotated[tuple[int, ...] | None, LAYERS] = None,
) -> Result:
    """Which parts carry the difference, and where: each patched at one position at a time.

    `effect` (component, pos, example) is what is gained or lost; `clean` and `corrupt` (example) the unchanged runs' metric.
    """
    found = _found(model, pairs, granularity, Counterfactual(), direction, metric, layers, positions or ())
    return with_positions(found, positions)


@method(intervenes=True, gives=Scores, cites=(*CITES, "arXiv:2409.09951"), cost=COST, assumes=ASSUMES, fails_when=FAILS)
def ablate(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    layers: Annotated[tuple[int, ...] | None, LAYERS] = None,
) -> Scores:
    """Which parts the behaviour needs: each ablated by itself in the clean run, at all positions."""
    found = _found(model, pairs, granularity, as_ablation(ablation), "noise", metric, layers)
    return _scores(found, "lost in the clean run")


@method(
    intervenes=True,
    gives=Result,
    cites=(*CITES, "arXiv:2409.09951"),
    cost=COST_POSITIONS,
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=PLACES,
)
def ablate_positions(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    positions: Annotated[tuple[str | int, ...] | None, POSITIONS] = None,
    layers: Annotated[tuple[int, ...] | None, LAYERS] = None,
) -> Result:
    """Which parts the behaviour needs, and where: each ablated at one position at a time.

    `effect` (component, pos, example) is what is lost; `clean` and `corrupt` (example) the unchanged runs' metric.
    """
    found = _found(model, pairs, granularity, as_ablation(ablation), "noise", metric, layers, positions or ())
    return with_positions(found, positions)


def _found(
    model: Model,
    pairs: Pairs,
    granularity: str,
    ablation: AnyAblation,
    direction: Direction,
    metric: object,
    layers: Sequence[int] | None,
    positions: Positions = None,
) -> Effects:
    parts = parts_of(model, granularity, layers)
    made = intervene(model, pairs, parts, ablation=ablation, direction=direction, metric=as_metric(metric))
    return effects(model, made, parts, positions=positions)


def _scores(found: Effects, what: str) -> Scores:
    return Scores.over_examples(found.names, found.values, f"metric {what}", found.facts)


def with_positions(found: Effects, positions: Positions) -> Result:
    """Effects at positions as a result over (component, pos, example)."""
    at = list(range(found.values.shape[1])) if not positions else list(positions)
    data = xr.Dataset(
        {
            "effect": (("component", "pos", "example"), found.values),
            "clean": (("example",), found.clean),
            "corrupt": (("example",), found.corrupt),
        },
        coords={"component": found.names, "pos": at},
    )
    return Result(data, found.provenance.with_facts(*found.facts), found.cost)
