"""A network that has learned nothing: the same architecture, each weight tensor's entries in a random order.

Sizes of weights are what training made them, and what they encode is gone. An alignment that is found here too is found by
the search, not in the network.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from assay.core.seeds import generator
from assay.engine.model import Model


@torch.no_grad()
def untrained(model: Model, *, seed: int = 0) -> Model:
    """A copy of the model with shuffled weights. Cost: the memory of one more model."""
    native = copy.deepcopy(model.native)
    for name, parameter in native.named_parameters():
        flat = parameter.reshape(-1)
        order = torch.randperm(flat.numel(), generator=generator(seed, "untrained", name)).to(flat.device)
        parameter.copy_(flat[order].reshape(parameter.shape))
    return Model(replace(model.network, native=native))
