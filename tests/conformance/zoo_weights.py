"""Weights in which nothing ties by accident.

A fresh transformers model has norm weights of one, biases of zero, and matrices of standard deviation 0.02: many
tensors are then equal, or differ by less than rounding, although the architecture computes them differently. Here
vectors get noise of standard deviation 0.3, and zero-centred matrices get a standard deviation of 0.16, at which a
layer changes the residual stream by an amount of the stream's own order. A matrix whose values mean something (the
decay rates of a state-space layer are not centred on zero) keeps them. Single numbers of one that are no parameters become
0.75. Everything stays finite and of order 1 to 100.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VECTOR_NOISE = 0.3
MATRIX_SPREAD = 0.16
SINGLE_NUMBER = 0.75
"""In place of a one that a module keeps beside its parameters: trained models have others (Gemma 4's `layer_scalar`)."""
FORGOTTEN = 1e4
"""No initialisation gives values as large as this: the class left the memory as it found it."""


def perturb(model: nn.Module, *, seed: int = 0) -> None:
    """Change the weights in place; the same seed gives the same weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.numel():
                _perturb(parameter, torch.randn(parameter.shape, generator=generator))
        kept = model.state_dict(keep_vars=True).values()
        for number in (one for one in kept if not isinstance(one, nn.Parameter) and one.numel() == 1):
            if number == 1.0:
                number.fill_(SINGLE_NUMBER)


def _perturb(parameter: Tensor, noise: Tensor) -> None:
    if not torch.isfinite(parameter).all() or parameter.abs().max() > FORGOTTEN:
        parameter.copy_(noise * MATRIX_SPREAD)
    elif parameter.squeeze().ndim <= 1 or parameter.std() == 0:
        parameter.add_(noise * VECTOR_NOISE)
    elif parameter.mean().abs() < parameter.std() / 4:
        parameter.mul_(MATRIX_SPREAD / parameter.std())
