"""AtP* with positions: which parts matter, and where, as the paper scores them.

A node of the paper is a part at one position. So both mendings of `atp_star` are made at each position by itself:

    QK fix      of a query the row of the pattern that it makes; of a key the softmax with that one key replaced, in the rows
                of all queries that see it (`key_changes.py`)
    GradDrop    1/(L − 1) · Σ_ℓ |I_ℓ| of each position, so that positions which cancel one another show too

Scores at positions do not add up to those of `atp_star`: keys that are replaced together meet in one softmax, and sizes are
taken before sums. Cost: that of `atp_star`. Source: Kramár, Lieberum, Shah & Nanda 2024, arXiv:2403.00745.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Ablation
from assay.circuits.attribution import ASSUMES, REPLACED, asked, at_positions
from assay.circuits.claims import PLACES
from assay.circuits.contrast import Direction
from assay.circuits.exact_patterns import PARTNER, exact_patterns, pattern_sites, shared_heads
from assay.circuits.first_order import Chunk, Values, checked, chunks, collected, gradients, per_part, values
from assay.circuits.grad_drop import droppable, dropped, shares
from assay.circuits.intervention import Intervention
from assay.circuits.key_changes import key_changes
from assay.circuits.measuring import METRIC, AMetric
from assay.circuits.node_patching import DIRECTION, POSITIONS
from assay.circuits.places import GRANULARITY, Granularity, Part
from assay.circuits.places_exactness import CHECK
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

Fix = Literal["qk_fix", "grad_drop"]
FIXES = "qk_fix: queries and keys get an exact softmax; grad_drop: layers are dropped in turn, which leaves no sign"
Slopes = Mapping[str, Float[Tensor, "batch pos ..."]]


@method(
    gives=Result,
    cites="arXiv:2403.00745",
    cost="attribution patching's; QK fix: one forward pass more; GradDrop: two forward and one backward pass for each layer",
    assumes=ASSUMES + "; for queries and keys only from the attention pattern on",
    fails_when="effects are not visible to first order anywhere: MLPs that saturate, or replaced values that are far away",
    claim=PLACES,
)
def atp_star_positions(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, REPLACED],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    positions: Annotated[tuple[str | int, ...] | None, POSITIONS] = None,
    fixes: Annotated[tuple[Fix, ...], FIXES] = ("qk_fix", "grad_drop"),
    check: Annotated[int, CHECK] = 16,
) -> Result:
    """Which parts matter, and where, by attribution patching with an exact softmax and with layers dropped in turn.

    `effect` (component, pos, example) is the estimate of what `ablate_positions` or `patch_positions` measures, without its
    sign where layers are dropped.
    """
    parts, made = asked(model, pairs, granularity, ablation=ablation, direction=direction, metric=metric)
    grad_drop, exact_softmax = "grad_drop" in fixes, "qk_fix" in fixes and granularity in PARTNER
    known, estimate = (_fixed if exact_softmax else _plain)(model, made, parts)
    rows = collected(parts, made)
    layers = droppable(model) if grad_drop else []
    for chunk in chunks(made):
        if not grad_drop:
            _add(rows, parts, chunk, made.sign * estimate(chunk, None))
        for layer in layers:
            share = shares(parts, layer, len(layers))
            _add(rows, parts, chunk, np.abs(estimate(chunk, layer)) * share[:, None, None])
    checked(rows)
    return at_positions(
        model, made, parts, rows=rows, known=known, positions=positions, check=check, seed=0, absolute=grad_drop
    )


def _add(rows: Mapping[str, np.ndarray], parts: Sequence[Part], chunk: Chunk, found: np.ndarray) -> None:
    for part, cells in zip(parts, found, strict=True):
        rows[part.name][: chunk.length, list(chunk.rows)] += cells.T


Estimate = Callable[[Chunk, int | None], Float[np.ndarray, "part batch pos"]]
"""The first-order change of the metric when each part is replaced at each position, a layer's gradient left out or none."""


def _plain(model: Model, made: Intervention, parts: tuple[Part, ...]) -> tuple[Values, Estimate]:
    sites = list(dict.fromkeys(site for part in parts for site in part.sites))
    known = values(model, made, sites)

    def estimate(chunk: Chunk, layer: int | None) -> np.ndarray:
        slopes = _slopes(model, made, chunk, sites, layer)
        products = {site: known.change(site, chunk.rows, chunk.length) * slopes[site].cpu() for site in sites}
        return np.stack([cells for _, cells in per_part(parts, products)])

    return known, estimate


def _fixed(model: Model, made: Intervention, parts: tuple[Part, ...]) -> tuple[Values, Estimate]:
    """Through the exact softmax of the replaced query, or of one replaced key at a time."""
    patterns = pattern_sites(parts)
    of_keys = parts[0].granularity == "k"
    known = exact_patterns(model, made, parts, scores=of_keys)

    def estimate(chunk: Chunk, layer: int | None) -> np.ndarray:
        slopes = _slopes(model, made, chunk, patterns, layer)
        found = {
            site: _of_keys(known, site, chunk, slopes) if of_keys else _of_queries(known, site, chunk, slopes)
            for site in patterns
        }
        cells = []
        for part in parts:
            heads = shared_heads(part, parts, found[f"L{part.layer}.pattern"].shape[1])
            cells.append(found[f"L{part.layer}.pattern"][:, heads].sum(1).cpu().numpy())
        return np.stack(cells)

    return known, estimate


def _of_queries(known: Values, site: str, chunk: Chunk, slopes: Slopes) -> Float[Tensor, "batch head query"]:
    products = known.change(site, chunk.rows, chunk.length) * slopes[site].cpu()
    return products.double().sum(-1).transpose(1, 2)


def _of_keys(known: Values, site: str, chunk: Chunk, slopes: Slopes) -> Float[Tensor, "batch head key"]:
    scores, rows, length = site.replace(".pattern", ".scores"), chunk.rows, chunk.length
    own, replaced = known.of("own", scores, rows, length), known.of("replaced", scores, rows, length)
    return key_changes(own, replaced, pattern=known.of("own", site, rows, length), slope=slopes[site].cpu())


def _slopes(model: Model, made: Intervention, chunk: Chunk, sites: Sequence[str], layer: int | None) -> Slopes:
    edits = () if layer is None else dropped(model, made, layer)
    return gradients(model, made, chunk, sites=sites, edits=edits)
