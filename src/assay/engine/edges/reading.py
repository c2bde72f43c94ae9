"""How a part reads the residual stream: which stream, through which norm, and where its input can be put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.edge_names import Sender
from assay.engine.edges.projections import Projection
from assay.models.network import Network
from assay.models.structure import Site
from assay.models.taps import norm_scale


@dataclass(frozen=True)
class Norm:
    """A native norm that reads the stream: `x / scale(x) · weight + bias`, `centred` or not."""

    module: str
    centred: bool
    eps: float

    def through(self, network: Network, x: Tensor) -> Tensor:
        """The stream through the native module."""
        out: Tensor = network.modules[self.module].forward(x)
        return out

    def weight(self, network: Network, like: Tensor) -> Tensor:
        """What the normalised stream is multiplied by, [d_model], read off the native module itself."""
        width = like.shape[-1]
        probe = like.new_ones(1, 1, width)
        probe[..., 1::2] = -1.0
        unit, _ = norm_parts(probe, self.centred, self.eps)
        with torch.no_grad():
            shifted = self.through(network, probe) - self.through(network, torch.zeros_like(probe))
        return (shifted / unit)[0, 0].to(like)


def norm_parts(x: Tensor, centred: bool, eps: float) -> tuple[Tensor, Tensor]:
    """x / scale, and the scale [..., 1], of a norm."""
    scale = norm_scale(x, centred, eps)
    return (x - x.mean(-1, keepdim=True) if centred else x) / scale, scale


@dataclass(frozen=True)
class Reading:
    """What a receiver reads: the stream at a site, through a native norm (`scale` None: as it is)."""

    stream: Site
    scale: Norm | None

    def through(self, network: Network, x: Tensor) -> Tensor:
        """The stream through the norm."""
        return x if self.scale is None else self.scale.through(network, x)

    def pulled(self, network: Network, gradient: Tensor, stream: Tensor) -> Tensor:
        """Gradients at what is read as those at `stream`, which spreads to their shape [example, receiver, pos, d_model]."""
        norm = self.scale
        if norm is None:
            return gradient
        return pulled_back(lambda x: norm.through(network, x.flatten(0, 1)).reshape(x.shape), gradient, stream)


@dataclass(frozen=True)
class Given:
    """What a part reads beside its stream: where, and whose it is."""

    site: Site
    sender: Sender
    first: Site | None = None
    """Of a choice that layers hand on to each other: where the first of them is given it."""


@dataclass(frozen=True)
class Earlier:
    """An earlier stream that a part reads once more: where, and which layer it entered."""

    site: Site
    layer: int


@dataclass(frozen=True)
class Port:
    """Where a receiver's input is put: the heads of a projection, or all that a part reads (`projection` None).

    Where the stream itself passes `site`, what was put in is taken out again where the part `leaves` it. `scaled` is the layer
    by whose number the stream is multiplied between the two.
    """

    site: Site
    reading: Reading
    projection: Projection | None = None
    leaves: Site | None = None
    given: tuple[Given, ...] = ()
    earlier: tuple[Earlier, ...] = ()
    scaled: int | None = None

    def past(self, network: Network, change: Tensor) -> Tensor:
        """A change of the stream in front of the part, or a gradient behind it, as it goes past it."""
        number = None if self.scaled is None else network.multiplier(self.scaled)
        return change if number is None else change * number.to(change)


def pulled_back(function: Callable[[Tensor], Tensor], gradient: Tensor, at: Tensor) -> Tensor:
    """A gradient at what a function gives as one at its input `at`, which spreads to the gradient's shape."""
    with torch.enable_grad():
        x = at.detach().expand_as(gradient).clone().requires_grad_()
        (found,) = torch.autograd.grad(function(x), x, gradient)
    return found


def same(left: Tensor, right: Tensor) -> bool:
    """Equal within rounding of the dtype, computed in another order."""
    if left.shape != right.shape:
        return False
    if not right.is_floating_point():
        return torch.equal(left, right)
    exact = right.dtype in (torch.float32, torch.float64)
    scale = float(right.abs().max())
    return float((left - right).abs().max()) <= (1e-4 if exact else 5e-2) * scale
