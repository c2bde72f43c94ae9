"""Weights that are elsewhere: models larger than a device, whose blocks accelerate brings in when they run.

transformers' `device_map` puts some modules on the CPU or the disk while they don't run; their parameters are then empty
(on the meta device) between two calls. What reads a weight outside its module's own call asks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def weight_of(module: nn.Module, name: str = "weight") -> Tensor | None:
    """A parameter or buffer of a module, brought in if it is offloaded; None if it has none, or it can't be reached.

    Cost: for an offloaded one, reading it: from the disk, perhaps.
    """
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        return None
    return _kept(module, name, tensor) if tensor.is_meta else tensor


def stored(native: nn.Module, name: str) -> Tensor | None:
    """What is kept of an offloaded tensor of a model's state; None if nothing is."""
    path, _, last = name.rpartition(".")
    hollow = getattr(native.get_submodule(path), last)
    every = (_kept(native.get_submodule(above), name[len(above) :].lstrip("."), hollow) for above in _upwards(path))
    return next((found for found in every if found is not None), None)


def _kept(module: nn.Module, name: str, hollow: Tensor) -> Tensor | None:
    """What a module's hooks keep under a name, in the dtype and on the device in which it is used."""
    for hook in _hooks(module):
        kept = getattr(hook, "weights_map", None)
        if kept is None or not hook.offload or ("." in name and not hook.place_submodules):
            continue
        value: Tensor = kept[name]
        device = hook.execution_device
        return value.to(dtype=hollow.dtype, device="cpu" if device is None else device)
    return None


def input_device(native: nn.Module) -> torch.device:
    """Where a model's inputs go: the device of its first parameter, or where that is brought when it is used."""
    found = next(native.named_parameters(), None)
    if found is None:
        return torch.device("cpu")
    name, parameter = found
    if not parameter.is_meta:
        return parameter.device
    for above in _upwards(name.rpartition(".")[0]):
        for hook in _hooks(native.get_submodule(above)):
            if getattr(hook, "execution_device", None) is not None:
                return torch.device(hook.execution_device)
    return parameter.device


def _upwards(path: str) -> Iterator[str]:
    """The path, and those of the modules around it."""
    while True:
        yield path
        if not path:
            return
        path = path.rpartition(".")[0]


def _hooks(module: nn.Module) -> list[Any]:
    hook = getattr(module, "_hf_hook", None)
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))
