"""How a model reaches a worker: by what it was loaded from, or from memory.

A model that was loaded (the embedded one, a folder, a hub id with its revision, a GGUF file) is loaded again by each
worker. One that is a module in memory, or whose weights are no longer those that were loaded, is taken apart: the module
without its tensors, and the tensors as arrays, which Ray's object store keeps once for all workers of a machine; the
workers' weights are that memory itself, read-only. In both cases a worker's model must have the fingerprint of this one.

What is not an array travels as Ray sends every object between the processes of one user's cluster. Nothing is ever read
so from a file.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from assay.core.errors import LoadError
from assay.models.fingerprint import fingerprint
from assay.models.loading import load_native
from assay.models.network import Network
from assay.models.source import Source
from assay.models.structure import Structure


@dataclass(frozen=True)
class Arrays:
    """Tensors as bytes: those of [name] have this dtype and shape."""

    data: Mapping[str, np.ndarray[Any, Any]]
    dtypes: Mapping[str, torch.dtype]
    shapes: Mapping[str, tuple[int, ...]]

    def tensor(self, name: str) -> Tensor:
        """A tensor on the array's own memory."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
            flat = torch.from_numpy(self.data[name])
        return flat.view(self.dtypes[name]).reshape(self.shapes[name])


@dataclass(frozen=True)
class Parcel:
    """A model on its way. `native` is its module without tensors; None if it is to be loaded from its source."""

    source: Source
    structure: Structure = field(repr=False)
    tokenizer: PreTrainedTokenizerBase | None = field(repr=False)
    token_argument: str
    fingerprint: str
    native: nn.Module | None = field(default=None, repr=False)
    arrays: Arrays | None = field(default=None, repr=False)

    @classmethod
    def by_source(cls, network: Network) -> Parcel | None:
        """To be loaded again; None for a module that was given."""
        return None if network.source.kind == "object" else cls(*_about(network))

    @classmethod
    def from_memory(cls, network: Network) -> Parcel:
        """Taken apart. Raises LoadError for a model whose weights are not in memory."""
        tensors = dict(_tensors(network.native))
        if absent := [name for name, tensor in tensors.items() if tensor.is_meta]:
            raise LoadError(
                f"{absent[0]} of this model is not in memory, so it can't be sent to workers: load it from a folder or a "
                "hub id that they can reach."
            )
        memo = {id(tensor): _placeholder(tensor) for tensor in tensors.values()}
        native = copy.deepcopy(network.native, memo)
        arrays = Arrays(
            {name: tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()},
            {name: tensor.dtype for name, tensor in tensors.items()},
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        )
        return cls(*_about(network), native, arrays)

    def open(self, device: torch.device) -> Network:
        """The model, on a device.

        Raises:
            LoadError: its source can't be loaded here, or is no longer what it was.
        """
        native = self._loaded(device) if self.native is None else self._assembled(self.native).to(device)
        found = fingerprint(native)
        if found != self.fingerprint:
            raise LoadError(f"{self.source.name}: a worker loads other weights than these from the same source.")
        network = Network(native, self.tokenizer, self.source, self.structure, self.token_argument)
        network.remember(found)
        return network

    def _loaded(self, device: torch.device) -> nn.Module:
        options = dict(self.source.options)
        return load_native(options.pop("what"), device=None if "device_map" in options else device, **options).native

    def _assembled(self, native: nn.Module) -> nn.Module:
        assert self.arrays is not None
        new = {id(hollow): self.arrays.tensor(name) for name, hollow in _tensors(native)}
        made = {id(hollow): _like(hollow, new[id(hollow)]) for _, hollow in _tensors(native)}
        for module in native.modules():
            places: list[dict[str, Any]] = [module._parameters, module._buffers, module.__dict__]
            for held in places:
                held.update({name: made[id(value)] for name, value in held.items() if id(value) in made})
        return native


def _about(network: Network) -> tuple[Source, Structure, PreTrainedTokenizerBase | None, str, str]:
    now = fingerprint(network.native)  # as the weights are now, not as they were when they were loaded
    return network.source, network.structure, network.tokenizer, network.token_argument, now


def _tensors(native: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, one that several names share under its first; packed ones stay in the module."""
    every = chain(native.named_parameters(), native.named_buffers())
    return ((name, t) for name, t in every if type(t) in (Tensor, nn.Parameter))


def _placeholder(tensor: Tensor) -> Tensor:
    hollow = torch.empty_like(tensor, device="meta")
    return nn.Parameter(hollow, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else hollow


def _like(hollow: Tensor, tensor: Tensor) -> Tensor:
    return nn.Parameter(tensor, hollow.requires_grad) if isinstance(hollow, nn.Parameter) else tensor
