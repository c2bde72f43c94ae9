"""AtP*: attribution patching mended where it is known to miss parts.

**QK fix.** A saturated softmax has no slope, so that queries and keys which decide where a head looks get no score. Here the
softmax is computed exactly for the replaced query (the keys as they were), and for the replaced key (the queries as they
were), by the model's own attention; only what follows the pattern is taken to first order:

    score(q) = −(pattern(q', k) − pattern(q, k)) · ∂m/∂pattern        score(k) likewise with pattern(q, k')

Exact where everything after the pattern is linear. A key that several query heads share gets the sum over them.

**GradDrop.** Where a part's direct and indirect effects cancel, the first-order sum is small and brittle. Let I_ℓ be the
estimate with the gradient through all that layer ℓ adds to the residual stream set to zero. The score is

    mean over examples of  1/(L − 1) · Σ_ℓ |I_ℓ|            L layers; a part's own layer contributes nothing

the mean over layers times L/(L − 1). It has no sign. Residual streams, which no layer owns, are divided by L.

Cost: attribution patching's; QK fix: one more forward pass for queries, one for keys; GradDrop: two forward and one backward
pass for each layer. Source: Kramár, Lieberum, Shah & Nanda 2024, arXiv:2403.00745; the factor is also that of
koayon/atp_star (`atp.py`: the sum of sizes over dropped layers, divided by their number less one). The paper's nodes are
parts at one position: `atp_star_positions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.attribution import ASSUMES, QUANTITY, REPLACED
from assay.circuits.contrast import Direction
from assay.circuits.exact_patterns import PARTNER, exact_patterns, pattern_sites, through_patterns
from assay.circuits.exactness import CHECK, against_exact
from assay.circuits.first_order import Chunk, Values, checked, chunks, gradients, per_part, values
from assay.circuits.grad_drop import droppable, dropped, shares
from assay.circuits.intervention import Intervention, intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.node_patching import DIRECTION
from assay.circuits.places import GRANULARITY, Granularity, Part, parts_of
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.edits import Edit


@method(
    gives=Scores,
    cites="arXiv:2403.00745",
    cost="attribution patching's; QK fix: one forward pass more; GradDrop: two forward and one backward pass for each layer",
    assumes=ASSUMES + "; for queries and keys only from the attention pattern on",
    fails_when="effects are not visible to first order anywhere: MLPs that saturate, or replaced values that are far away",
)
def atp_star(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    ablation: Annotated[Ablation, REPLACED],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    qk_fix: Annotated[bool, "whether queries and keys get the softmax computed exactly"] = True,
    grad_drop: Annotated[bool, "whether layers are dropped in turn: finds what cancels, and leaves no sign"] = True,
    check: Annotated[int, CHECK] = 16,
) -> Scores:
    """Which parts matter, by attribution patching with an exact softmax and with layers dropped in turn."""
    parts = parts_of(model, granularity)
    made = intervene(model, pairs, parts, ablation=as_ablation(ablation), direction=direction, metric=as_metric(metric))
    fix = qk_fix and granularity in PARTNER
    known = exact_patterns(model, made, parts) if fix else values(model, made, _sites(parts))
    layers = droppable(model) if grad_drop else []
    rows = np.zeros((len(parts), len(pairs)))
    for chunk in chunks(made):
        estimate = partial(_estimate, model, made, chunk, known, parts, fix)
        if not grad_drop:
            rows[:, list(chunk.rows)] = made.sign * estimate(())
            continue
        for layer in layers:
            found = np.abs(estimate(dropped(model, made, layer)))
            rows[:, list(chunk.rows)] += found * shares(parts, layer, len(layers))[:, None]
    checked(dict(zip((part.name for part in parts), rows, strict=True)))
    names = [part.name for part in parts]
    how = [name for name, used in (("exact softmax", fix), ("layers dropped in turn, no sign", grad_drop)) if used]
    scores = Scores.over_examples(names, rows, ", ".join((QUANTITY, *how)), known.facts)
    return against_exact(model, made, parts, scores=scores, check=check, seed=0, absolute=grad_drop)


def _estimate(
    model: Model,
    made: Intervention,
    chunk: Chunk,
    known: Values,
    parts: Sequence[Part],
    fix: bool,
    edits: Sequence[Edit],
) -> np.ndarray:
    """The first-order change of the metric when each part is replaced, [part, example]."""
    sites = pattern_sites(parts) if fix else _sites(parts)
    slopes = gradients(model, made, chunk, sites=sites, edits=edits)
    products = {site: known.change(site, chunk.rows, chunk.length) * slopes[site].cpu() for site in sites}
    if fix:
        return np.stack([through_patterns(part, parts, products) for part in parts])
    return np.stack([cells.sum(1) for _, cells in per_part(parts, products)])


def _sites(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(site for part in parts for site in part.sites))
