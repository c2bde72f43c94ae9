"""Attribution patching: the effect of patching every part, estimated to first order from one backward pass.

    score(part) = −(replaced value − own value) · ∂m/∂value at the base run          summed over entries and positions

Exact where the metric is linear in the part's value. It misses what saturates (attention: see `atp_star`), what cancels
between direct and indirect paths, and everything where the metric has its optimum (KL to the base run is refused).

`relevance_patching` is the same with norms' scales and attention patterns taken for constant in the backward pass, as
layer-wise relevance propagation does for transformers: signals then flow through values alone, and nothing is lost to
the curvature of norm and softmax; effects through queries and keys are left out by construction.

All measure themselves: a random sample of parts is patched exactly on the schedule, and the error is in the facts.

Cost: three forward passes and one backward pass of all examples, whatever the number of parts; and the sample's exact
patches. Sources: Nanda 2023, "Attribution patching"; Syed et al. 2023, arXiv:2310.10348; Kramár et al. 2024,
arXiv:2403.00745. Relevance: Ali et al. 2022, arXiv:2202.07304.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits import places_exactness
from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.claims import PLACES
from assay.circuits.contrast import Direction
from assay.circuits.exact_effects import Positions
from assay.circuits.exactness import CHECK, SEED, against_exact
from assay.circuits.first_order import Values, checked, chunks, collected, gradients, per_part, values
from assay.circuits.intervention import Intervention, intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.node_patching import DIRECTION, POSITIONS
from assay.circuits.places import GRANULARITY, Granularity, Part, parts_of
from assay.core.errors import ExperimentError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

CITES = ("arXiv:2310.10348", "arXiv:2403.00745")
COST = "three forward passes and one backward pass of all examples, and exact patches of the parts that are checked"
ASSUMES = "that the metric is close to linear in each part's value, from its own to the replaced one"
FAILS = "attention saturates, direct and indirect effects cancel, or the replaced value is far: see the error that is reported"
FROZEN = "what the backward pass takes for constant: norms, patterns, mlps"
REPLACED = "what a part's value is compared with; denoise takes counterfactual"


@method(gives=Scores, cites=CITES, cost=COST, assumes=ASSUMES, fails_when=FAILS)
def attribution_patching(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, REPLACED],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    check: Annotated[int, CHECK] = 16,
    seed: Annotated[int, SEED] = 0,
) -> Scores:
    """Which parts matter, estimated from one gradient for all of them."""
    parts, made = asked(model, pairs, granularity, ablation=ablation, direction=direction, metric=metric)
    rows, known = estimate(model, made, parts)
    scores = summed(rows, QUANTITY, known.facts)
    return against_exact(model, made, parts, scores=scores, check=check, seed=seed)


QUANTITY = "metric lost when the part is replaced, to first order"


@method(gives=Result, cites=CITES, cost=COST, assumes=ASSUMES, fails_when=FAILS, claim=PLACES)
def attribution_positions(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, REPLACED],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    positions: Annotated[tuple[str | int, ...] | None, POSITIONS] = None,
    check: Annotated[int, places_exactness.CHECK] = 16,
    seed: Annotated[int, places_exactness.SEED] = 0,
) -> Result:
    """Which parts matter, and where, estimated from one gradient for all of them.

    `effect` (component, pos, example) is the estimate of what `ablate_positions` or `patch_positions` measures.
    """
    parts, made = asked(model, pairs, granularity, ablation=ablation, direction=direction, metric=metric)
    rows, known = estimate(model, made, parts)
    return at_positions(model, made, parts, rows=rows, known=known, positions=positions, check=check, seed=seed)


@method(
    gives=Scores,
    cites=("arXiv:2202.07304", *CITES),
    cost=COST,
    assumes="that what matters flows through values, MLPs and the residual stream, with patterns and norms as they are",
    fails_when="the behaviour is decided by where heads look: effects through queries and keys are left out",
)
def relevance_patching(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, REPLACED],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    frozen: Annotated[tuple[str, ...], FROZEN] = ("norms", "patterns"),
    check: Annotated[int, CHECK] = 16,
    seed: Annotated[int, SEED] = 0,
) -> Scores:
    """Which parts matter, from a gradient that takes norms' scales and attention patterns for constant."""
    parts, made = asked(model, pairs, granularity, ablation=ablation, direction=direction, metric=metric)
    rows, known = estimate(model, made, parts, frozen=frozen)
    quantity = f"metric lost when the part is replaced, to first order with {', '.join(frozen) or 'nothing'} frozen"
    scores = summed(rows, quantity, known.facts)
    return against_exact(model, made, parts, scores=scores, check=check, seed=seed)


def estimate(
    model: Model, made: Intervention, parts: Sequence[Part], *, frozen: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], Values]:
    """The estimated score of each part, [pos, example], and the values that were compared."""
    sites = list(dict.fromkeys(site for part in parts for site in part.sites))
    known = values(model, made, sites)
    rows = collected(parts, made)
    for chunk in chunks(made):
        slopes = gradients(model, made, chunk, sites=sites, frozen=frozen)
        products = {site: known.change(site, chunk.rows, chunk.length) * slopes[site].cpu() for site in sites}
        for part, cells in per_part(parts, products):
            rows[part.name][: chunk.length, list(chunk.rows)] = made.sign * cells.T
    checked(rows)
    return rows, known


def summed(rows: Mapping[str, np.ndarray], quantity: str, facts: Sequence[str]) -> Scores:
    """Scores of parts at all positions, from those at each."""
    return Scores.over_examples(list(rows), np.stack([row.sum(0) for row in rows.values()]), quantity, facts)


def at_positions(
    model: Model,
    made: Intervention,
    parts: Sequence[Part],
    *,
    rows: Mapping[str, np.ndarray],
    known: Values,
    positions: Positions,
    check: int,
    seed: int,
    absolute: bool = False,
) -> Result:
    """Estimates [pos, example] of parts at the positions that are asked for, with their error on a sample of places."""
    index = indices(made.pairs, positions)
    at: list[str | int] = list(range(len(index))) if positions is None else list(positions)
    effect = np.stack([row[index, np.arange(len(made.pairs))] for row in rows.values()])
    error = places_exactness.error_at_places(
        model, made, parts, effect=effect, at=at, check=check, seed=seed, absolute=absolute
    )
    data = xr.Dataset(
        {"effect": (("component", "pos", "example"), effect)}, coords={"component": list(rows), "pos": at}
    )
    return Result(data, known.provenance.with_facts(*known.facts, *error))


def asked(
    model: Model, pairs: Pairs, granularity: str, *, ablation: object, direction: Direction, metric: object
) -> tuple[tuple[Part, ...], Intervention]:
    """The parts of a granularity, and what replaces them."""
    parts = parts_of(model, granularity)
    made = intervene(model, pairs, parts, ablation=as_ablation(ablation), direction=direction, metric=as_metric(metric))
    return parts, made


def indices(pairs: Pairs, positions: Positions) -> np.ndarray:
    """[pos, example]: the index of each position in each prompt."""
    lengths = pairs.lengths
    if positions is None:
        if len(set(lengths)) > 1:
            raise ExperimentError("the prompts differ in length, so that indices do not line up: name positions.")
        return np.repeat(np.arange(lengths[0])[:, None], len(pairs), axis=1)
    rows = []
    for at in positions:
        named = [n - 1 for n in lengths] if at == "end" else pairs.position(at) if isinstance(at, str) else None
        rows.append(named or [range(n)[int(at)] for n in lengths])
    return np.array(rows)
