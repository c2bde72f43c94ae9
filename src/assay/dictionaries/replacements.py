"""What a site's value is replaced by when a dictionary is measured: its reconstruction, and what that is compared with.

dictionary   its reconstruction
pca          as many principal components of the training activations as features fire on a token: the same budget of
             numbers for each token, in a basis that is the same for all
random       a dictionary of the same size with random rows, of which as many are kept: nothing was trained
mean, zero   the mean of the training activations; nothing at all
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.seeds import generator
from assay.dictionaries.dictionary import Dictionary
from assay.engine.dictionary import FeatureBasis

Rows = Float[Tensor, "*any d"]
Replacement = Callable[[Rows], Rows]
NOTHING = "nothing"
"""The name of the run in which nothing is replaced."""


def replacements(dictionary: Dictionary, *, seed: int) -> dict[str, Replacement]:
    """By name. A dictionary from elsewhere, whose training activations are not known, has no mean and no components."""
    mean = dictionary.measured.get("mean")
    found: dict[str, Replacement] = {"dictionary": dictionary.reconstruct}
    if mean is not None:
        found["pca"] = partial(_projected, mean, dictionary.measured["principal"])
        found["random"] = partial(_random, random_basis(dictionary, seed=seed))
        found["mean"] = partial(_mean, mean)
    found["zero"] = torch.zeros_like
    return found


def random_basis(dictionary: Dictionary, *, seed: int) -> FeatureBasis:
    """A dictionary of the same size with random rows of length 1, read by their transpose; as many fire on a token."""
    size, width = dictionary.basis.decoder.shape
    drawn = torch.randn(size, width, generator=generator(seed, "random dictionary"))
    rows = drawn / drawn.norm(dim=-1, keepdim=True)
    k = max(1, min(size, round(dictionary.about.active)))
    return FeatureBasis(rows.T.contiguous(), torch.zeros(size), rows, dictionary.measured["mean"], "topk", None, k)


def _random(basis: FeatureBasis, x: Rows) -> Rows:
    """With the one length for all rows that suits this token best: random rows do not add up to the right one."""
    centre = basis.decoder_bias.to(x)
    away = basis.decode(basis.encode(x)) - centre
    along = (away * (x - centre)).sum(-1, keepdim=True) / away.pow(2).sum(-1, keepdim=True).clamp_min(1e-12)
    return centre + along * away


def _projected(mean: Tensor, components: Tensor, x: Rows) -> Rows:
    rows = components.to(x)
    return mean.to(x) + (x - mean.to(x)) @ rows.T @ rows


def _mean(mean: Tensor, x: Rows) -> Rows:
    return mean.to(x).expand_as(x)
