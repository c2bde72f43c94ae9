"""One number of a feature for each text: its activations over the tokens, brought down to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.pairs import Pairs
from assay.engine.model import Model

Pool = Literal["max", "mean", "last"]
POOL = "over the tokens of a text: the largest activation, their mean, or the last token's"
AT_ONCE = 16
Read = Callable[[Float[Tensor, "batch pos d"]], Float[Tensor, "batch pos feature"]]


def read_pairs(
    model: Model, pairs: Pairs, *, site: str, skip: int, read: Read, pool: Pool
) -> tuple[Float[np.ndarray, "feature example"], Float[np.ndarray, "feature example"]]:
    """What is read of the clean prompts, and of the counterfactual ones. The first `skip` tokens are left out."""
    tokens = pairs.aligned_tokens()
    sides = [[list(each.clean) for each in tokens], [list(each.corrupt) for each in tokens]]
    clean, corrupt = (_read(model, rows, site=site, skip=skip, read=read, pool=pool) for rows in sides)
    return clean, corrupt


def _read(
    model: Model, rows: list[list[int]], *, site: str, skip: int, read: Read, pool: Pool
) -> Float[np.ndarray, "feature example"]:
    found: dict[int, Tensor] = {}
    lengths = [len(row) for row in rows]
    for length in dict.fromkeys(lengths):
        numbers = [i for i, each in enumerate(lengths) if each == length]
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            values = model.run([rows[i] for i in some], capture=site)[site].float()
            pooled = _pooled(read(values[:, min(skip, length - 1) :]), pool)
            found |= dict(zip(some, pooled, strict=True))
    return torch.stack([found[i] for i in range(len(rows))], dim=1).double().cpu().numpy()


def _pooled(activations: Float[Tensor, "batch pos feature"], pool: Pool) -> Float[Tensor, "batch feature"]:
    if pool == "last":
        return activations[:, -1]
    return activations.mean(1) if pool == "mean" else activations.amax(1)
