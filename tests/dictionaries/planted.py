"""Activations that are known: sums of a few of known directions, and a bias."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.core.seeds import generator


def directions(n: int = 24, d: int = 16, *, seed: int = 0) -> Tensor:
    """Unit rows, more than there are dimensions."""
    rows = torch.randn(n, d, generator=generator(seed, "directions"))
    return rows / rows.norm(dim=-1, keepdim=True)


def sparse_sums(rows: Tensor, tokens: int = 12_000, *, active: int = 2, seed: int = 0) -> Tensor:
    """Tokens that are sums of `active` directions with strengths between 0.5 and 1.5, and the same bias."""
    drawn = generator(seed, "sums")
    chosen = torch.rand(tokens, len(rows), generator=drawn).topk(active, dim=-1).indices
    strengths = 0.5 + torch.rand(tokens, active, generator=drawn)
    codes = torch.zeros(tokens, len(rows)).scatter(-1, chosen, strengths)
    return 30 * (codes @ rows + torch.linspace(-1, 1, rows.shape[1]))


def recovered(found: Tensor, truth: Tensor) -> float:
    """Mean over true directions of the largest cosine with a found one."""
    return float((truth @ found.T).max(dim=1).values.mean())
