"""What replacing one key at a time does to attention patterns, for all keys at once.

With p the pattern of a query, Δ what the replaced key at t adds to its score, g the gradient at the pattern, and r what the
query gives to all but t,

    Σ_j (p'_j − p_j) g_j = p_t (e^Δ − 1) (r g_t − Σ_{j≠t} p_j g_j) / (r + p_t e^Δ)

where p' is the softmax with the score at t alone replaced. Exact, also where all attention is on one key, since nothing
nearly equal is subtracted: the QK fix for keys of Kramár et al. 2024, arXiv:2403.00745. Heads may have a sink of their own.
Cost: keys² · queries multiplications for each head and example.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SiteError

ROUNDING = 2e-6
"""Rows that add up to 1 but for this, in single precision, have no sink."""
LARGEST = 600.0
"""Of an exponent, in double precision."""


def key_changes(
    own: Float[Tensor, "batch query head key"],
    replaced: Float[Tensor, "batch query head key"],
    *,
    pattern: Float[Tensor, "batch query head key"],
    slope: Float[Tensor, "batch query head key"],
) -> Float[Tensor, "batch head key"]:
    """The first-order change of the metric from the pattern on when each key alone is replaced; `own` and `replaced` are
    scores, masked ones −∞.

    Raises:
        SiteError: scores are told relative to each row's largest, so that what one key adds can't be told.
    """
    own, replaced, slope = own.double(), replaced.double(), slope.double()
    if bool((own.amax(-1) == 0).all()):
        raise SiteError(
            "this model tells scores relative to each query's largest, so what one key adds can't be told from them. Leave "
            "out qk_fix, or take all positions at once (atp_star)."
        )
    total = pattern.double().sum(-1, keepdim=True)
    total = torch.where((total - 1).abs() < ROUNDING, torch.ones_like(total), total)
    mine = torch.softmax(own, -1) * total  # the pattern again, in double precision
    added = (replaced - own).nan_to_num(0.0).clamp(-LARGEST, LARGEST)  # −∞ less −∞ is no change
    others = 1 - torch.eye(own.shape[-1]).to(mine)
    rest, weighed = mine @ others + (1 - total), (mine * slope) @ others
    share = mine * torch.expm1(added) / (rest + mine * added.exp()).clamp_min(torch.finfo(mine.dtype).tiny)
    return (share * (rest * slope - weighed)).sum(1)
