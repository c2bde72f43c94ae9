"""One architecture under examination: the native model, its network, and what one pass captured at every site."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tests.conformance import zoo
from torch import Tensor, nn

from assay.core.sites import SiteName
from assay.engine.passes import Kept, forward, on_device
from assay.models.ends import output_key
from assay.models.example_inputs import example_inputs
from assay.models.network import Network
from assay.models.ports import get_output
from assay.models.source import Loaded, Source
from assay.models.structure import Site

TOLERANCE = 1e-5
"""Relative to the largest number in the tensors compared: fp32 rounds at 6e-8, and a sum or product of up to a few hundred
terms is computed here in another order than in native code."""

CANNOT_RUN = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError)
"""What native code raises when its inputs do not suit it."""

Layer = tuple[str | None, int]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with everything captured once. `plain` are the native outputs without assay, under the eager kernel."""

    name: str
    native: nn.Module
    inputs: Mapping[str, Any]
    network: Network
    plain: list[Tensor]
    kept: Kept

    @classmethod
    def of(cls, name: str) -> Subject:
        """Build the model, find its sites as a user would get them, run it plainly and with every site captured."""
        native, inputs = zoo.build(name)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            network = network_of(native, inputs)
            plain = tensors(native(**on_device(network, inputs)))
            kept = forward(network, inputs, keep=network.structure.sites.values())
        return cls(name, native, inputs, network, plain, kept)

    @property
    def sites(self) -> Mapping[SiteName, Site]:
        return self.network.structure.sites

    @property
    def layers(self) -> list[Layer]:
        """Every layer of every stack that was found."""
        return list(self.network.structure.kinds)

    def value(self, name: str, layer: Layer) -> Tensor | None:
        """What was captured at a layer's site, None where the site is absent."""
        site = self.sites.get(SiteName(name, layer[1], layer[0]))
        return None if site is None else self.kept.sites[site]

    def site(self, name: str, layer: Layer) -> Site | None:
        return self.sites.get(SiteName(name, layer[1], layer[0]))


def network_of(native: nn.Module, inputs: Mapping[str, Any]) -> Network:
    """Sites found on assay's own example inputs, as a user would; on the zoo's where those are of another kind."""
    loaded = Loaded(native, None, None, Source(asked="", kind="object", name=type(native).__name__))
    own = next(iter(example_inputs(native)), {})
    return Network.of(loaded, None if own.keys() - {"use_cache"} == inputs.keys() - {"use_cache"} else inputs)


def natively(subject: Subject, inputs: Mapping[str, Any]) -> Any:
    """The native output without assay, None where native code cannot take these inputs."""
    try:
        with torch.no_grad():
            return subject.native(**on_device(subject.network, inputs))
    except CANNOT_RUN:
        return None


def main_output(native: Any) -> Tensor:
    """Logits, or the last hidden state."""
    found = get_output(native, output_key(native))
    assert isinstance(found, Tensor)
    return found


def tensors(output: Any) -> list[Tensor]:
    """All floating tensors in a native output, however nested, caches excepted."""
    return list(_tensors(output))


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from _tensors(value)


def differs(left: Tensor, right: Tensor, *terms: Tensor) -> str | None:
    """None when two tensors agree to TOLERANCE; otherwise what is wrong, without numbers that vary between machines."""
    if left.shape != right.shape:
        return f"shapes {tuple(left.shape)} and {tuple(right.shape)}"
    scale = max(float(t.abs().max()) for t in (left, right, *terms))
    unequal = left != right  # infinities are equal to themselves
    worst = float((left - right)[unequal].abs().max()) / max(scale, 1e-30) if bool(unequal.any()) else 0.0
    if worst <= TOLERANCE:
        return None
    return "slightly off" if worst < 1e-3 else "different"
