"""Random weights in place of those that show nothing, while a model's sites are found.

Sites are found by values: which columns of a projection are the values that attention mixes, which outputs add up to the
change of the stream. Weights that are zero, or that have equal rows or columns (as written by hand, ablated, or not yet
trained), make all of that look alike: heads of zeros seem to be one shared head. What a module does does not hang on its
weights, so such a matrix is replaced by a random one during the trace, and put back bit for bit.

Cost: one product of each matrix with a vector. Of matrices too large to be written by hand, only zeros are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LARGE = 250_000
"""Elements of a matrix beyond which equal rows and columns are not looked for: trained ones have none."""
ALIKE = 1e-9
"""Relative difference below which two rows' products with a random vector count as those of equal rows."""


@contextmanager
def stand_ins(native: nn.Module) -> Iterator[tuple[str, ...]]:
    """Names of the weights that are random inside; outside they are what they were, also after an error."""
    kept = {name: (weight, weight.detach().clone()) for name, weight in _matrices(native) if _shows_nothing(weight)}
    random = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for weight, _ in kept.values():
                drawn = torch.randn(weight.shape, generator=random) / weight.shape[-1] ** 0.5
                weight.copy_(drawn)
        yield tuple(kept)
    finally:
        with torch.no_grad():
            for weight, own in kept.values():
                weight.copy_(own)


def _matrices(native: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Weights of linear layers and tables; those of any other kind, quantised, offloaded or parted, stay as they are."""
    seen: set[int] = set()
    for path, module in native.named_modules():
        weight = module._parameters.get("weight")
        if type(weight) is not nn.Parameter or weight.ndim != 2 or id(weight) in seen:
            continue
        if weight.is_floating_point() and not weight.is_meta and weight.numel():
            seen.add(id(weight))
            yield f"{path}.weight", weight


def _shows_nothing(weight: Tensor) -> bool:
    """Whether it is zero, or two of its rows or columns are equal."""
    if not weight[0].any() and not weight.any():
        return True
    if weight.numel() > LARGE:
        return False
    wide = weight.detach().double().cpu()
    return any(_has_equal(rows) for rows in (wide, wide.T))


def _has_equal(rows: Tensor) -> bool:
    """Whether two rows are equal, or one is zero."""
    probe = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    products = (rows @ probe).sort().values
    near = products.diff() <= ALIKE * products.abs().max()
    return bool(near.any()) or bool((products == 0).any())
