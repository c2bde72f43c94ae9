"""Attention patterns with queries, or keys, replaced and the others as they were, computed by the model's own attention.

Positions, masks, scaling, capped scores, norms of queries and keys: all are the model's, in whatever architecture. All layers
are done in one forward pass: the queries and keys of every layer are put in place, so that nothing upstream matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.circuits.first_order import Values, values
from assay.circuits.intervention import Intervention
from assay.circuits.places import Part
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.runs import Run

PARTNER = {"q": "k", "k": "q"}
"""What meets a query, or a key, in the softmax."""


def exact_patterns(model: Model, made: Intervention, parts: Sequence[Part], *, scores: bool = False) -> Values:
    """Own patterns, and those with the parts (queries, or keys) replaced; what the softmax reads too, if asked.

    Cost: one forward pass of all examples more.
    """
    places = list(dict.fromkeys(site for part in parts for site in part.sites))
    held = [f"L{layer}.{PARTNER[parts[0].granularity]}" for layer in sorted({part.layer for part in parts})]
    edits = [*(made.replaced.edit(site) for site in places), *(edit.freeze(site, source=made.base) for site in held)]
    sites = pattern_sites(parts)
    read = [site.replace(".pattern", ".scores") for site in sites] if scores else []
    return values(model, made, [*sites, *read], other=Run(input=made.base, edits=tuple(edits)))


def pattern_sites(parts: Sequence[Part]) -> list[str]:
    """The patterns that these queries or keys make."""
    return [f"L{layer}.pattern" for layer in sorted({part.layer for part in parts})]


def through_patterns(
    part: Part, parts: Sequence[Part], products: Mapping[str, Float[Tensor, "batch query head key"]]
) -> Float[np.ndarray, " batch"]:
    """What a query or key has of products at its pattern: of one head, or of all heads that share the key."""
    by_head = products[f"L{part.layer}.pattern"].double().sum((1, 3))
    found: np.ndarray = by_head[:, shared_heads(part, parts, by_head.shape[1])].sum(1).cpu().numpy()
    return found


def shared_heads(part: Part, parts: Sequence[Part], heads: int) -> slice:
    """The query heads whose patterns a query or key makes: its own, or all that share the key; `heads` of its layer."""
    shared = heads // sum(other.layer == part.layer for other in parts)
    start = (part.index or 0) * shared
    return slice(start, start + shared)
