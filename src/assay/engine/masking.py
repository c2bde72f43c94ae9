"""Edits of attention scores by −inf: each query must keep a key.

What a model masks itself is a very low number in most of them, not −inf: a query whose only keys are ruled out would attend
to those that the mask hides, later tokens among them, and nothing would tell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.hooks import Change
from assay.experiments.edits import Edit
from assay.experiments.infinite import brought
from assay.models.structure import Site


def masks_keys(edit: Edit, site: Site) -> bool:
    """Whether an edit rules out keys."""
    if site.name.name not in ("scores", "cross_scores"):
        return False
    found = brought(edit)
    return found is not None and bool(found[1].isinf().any())


def leaving_a_key(edit: Edit, change: Change) -> Change:
    """The change, refused where it leaves a query without a key that it could see before."""

    def checked(value: Tensor) -> Tensor:
        new = change(value)
        lost = (_sees(value) & ~_sees(new)).nonzero()
        if len(lost):
            example, head, query = lost[0].tolist()
            raise ExperimentError(
                f"{edit}: the query at position {query} (head {head}, row {example} of the pass) is left without any key. "
                "Leave it one: choose other positions (pos=…) or keys (dims=…)."
            )
        return new

    return checked


def _sees(scores: Tensor) -> Tensor:
    """Which queries see any key, [batch, head, query]."""
    return scores.amax(-1) > torch.finfo(scores.dtype).min / 2
