"""The same architecture with weights as they are before any training: what a method finds here, it brought along.

A transformers model is built again from its configuration and initialised by its own rules. Of any other module each part
that has `reset_parameters` is reset; a parameter that no part resets keeps its values in a random order, and the facts say
so. Dtype, device, buffers and tokenizer stay. Which weights come out depends on the seed alone.

Fresh weights are small: a network's outputs are then nearly uniform, and effects nearly nil in absolute numbers.
Cost: the memory of one more model, and the time to fill it.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedModel

from assay.core.seeds import child_seed, generator
from assay.engine.model import Model


def untrained(model: Model, *, seed: int = 0) -> Model:
    """A copy of the model with initial weights."""
    native = model.native
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(child_seed(seed, "untrained"))
        fresh, kept = _built(native) if isinstance(native, PreTrainedModel) else _reset(native, seed)
    fresh.train(native.training)
    for new, old in zip(fresh.parameters(), native.parameters(), strict=True):
        new.requires_grad_(old.requires_grad)
    facts = [f"weights initialised anew, seed {seed}: not the trained model"]
    facts += [f"no rule to initialise {', '.join(kept)}: the trained values in a random order"] if kept else []
    source = replace(model.network.source.adding(*facts), kind="object", options={})
    return type(model)(replace(model.network, native=fresh, source=source))  # one that only explains stays so


def _built(native: PreTrainedModel) -> tuple[nn.Module, list[str]]:
    fresh = type(native)(copy.deepcopy(native.config))
    old = dict(native.named_parameters())
    for name, parameter in fresh.named_parameters():
        parameter.data = parameter.data.to(old[name].device, old[name].dtype)
    buffers = dict(native.named_buffers())
    for name, buffer in fresh.named_buffers():
        owner, _, leaf = name.rpartition(".")
        fresh.get_submodule(owner)._buffers[leaf] = buffer.to(buffers[name].device, buffers[name].dtype)
    return fresh, []


def _reset(native: nn.Module, seed: int) -> tuple[nn.Module, list[str]]:
    fresh = copy.deepcopy(native)
    reset: set[int] = set()
    for module in fresh.modules():
        if callable(rule := getattr(module, "reset_parameters", None)):
            rule()
            reset |= {id(parameter) for parameter in module.parameters()}
    kept = []
    for name, parameter in fresh.named_parameters():
        if id(parameter) not in reset:
            order = torch.randperm(parameter.numel(), generator=generator(seed, "untrained", name))
            parameter.copy_(parameter.reshape(-1)[order.to(parameter.device)].reshape(parameter.shape))
            kept.append(name)
    return fresh, kept
