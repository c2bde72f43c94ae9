"""Views: how a site's tensor lies inside the tensor that native code passes on.

A view is a short chain of steps. Reading applies them from native to site, writing undoes them from site to native; a
write of what was read gives back the very same native tensor. Steps hold no tensors except `Columns`' index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad


@dataclass(frozen=True)
class Frame:
    """Sizes of the running forward pass that a view may need."""

    batch: int
    pos: int


class Step(Protocol):
    """One invertible change of layout."""

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        """Native layout to site layout."""

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        """`native` with the part that the site covers replaced."""


@dataclass(frozen=True)
class Unflatten:
    """[batch·pos, …] to [batch, pos, …], as mixture-of-experts layers hand on their tokens."""

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.reshape(frame.batch, -1, *native.shape[1:])

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return site.reshape(native.shape)


@dataclass(frozen=True)
class Swap:
    """Two axes exchanged: [pos, batch, …], or [batch, head, pos, …], to our order."""

    first: int
    second: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.transpose(self.first, self.second)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return site.transpose(self.first, self.second)


@dataclass(frozen=True)
class Expand:
    """A tensor shared by the batch, [pos, …] or [1, pos, …], seen once for each example."""

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        full = native if native.ndim == 3 else native[None]
        return full.expand(frame.batch, *full.shape[1:])

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return site


@dataclass(frozen=True)
class Slice:
    """A run of columns of the last axis: one part of a fused projection."""

    start: int
    stop: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native[..., self.start : self.stop]

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return torch.cat([native[..., : self.start], site, native[..., self.stop :]], dim=-1)


@dataclass(frozen=True)
class Columns:
    """Columns of the last axis in any order: interleaved fused projections, permuted rotary layouts."""

    index: tuple[int, ...]

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native[..., torch.tensor(self.index, device=native.device)]

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return native.index_copy(native.ndim - 1, torch.tensor(self.index, device=native.device), site)


@dataclass(frozen=True)
class Heads:
    """[…, head·d_head] to […, head, d_head]."""

    n: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return torch.unflatten(native, -1, (self.n, -1))

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return site.flatten(-2)


@dataclass(frozen=True)
class MergeHeads:
    """[…, head, d_head] to […, head·d_head]: undoes a split that native code made before ours."""

    heads: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.flatten(-2)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return torch.unflatten(site, -1, (self.heads, -1))


@dataclass(frozen=True)
class First:
    """The first entries of the last axis, all but `rest`: attention without the columns of learned sinks."""

    rest: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native[..., : native.shape[-1] - self.rest]

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return torch.cat([site, native[..., native.shape[-1] - self.rest :]], dim=-1)


@dataclass(frozen=True)
class Newest:
    """The keys of the tokens of this pass: with a cache, the native tensor also holds earlier ones."""

    axis: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.narrow(self.axis, native.shape[self.axis] - frame.pos, frame.pos)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        earlier = native.narrow(self.axis, 0, native.shape[self.axis] - frame.pos)
        return torch.cat([earlier, site], dim=self.axis)


@dataclass(frozen=True)
class SplitBatch:
    """[batch·head, query, key] to [batch, head, query, key], as in attention written with bmm."""

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return torch.unflatten(native, 0, (frame.batch, -1))

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return site.flatten(0, 1)


@dataclass(frozen=True)
class Abreast:
    """Several residual streams side by side, along an axis behind positions or in front of examples, as one wide stream."""

    axis: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.movedim(self.axis, 2).flatten(2)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        parted: Tensor = torch.unflatten(site, 2, (native.shape[self.axis], -1))
        return parted.movedim(2, self.axis)


@dataclass(frozen=True)
class Pick:
    """One of several tensors that stand side by side along an axis."""

    axis: int
    index: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native.select(self.axis, self.index)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        return native.select_scatter(site, self.axis, self.index)


@dataclass(frozen=True)
class Scaled:
    """A constant factor that native code applies afterwards (residual multipliers): the site is what is really
    added."""

    factor: float

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        return native * self.factor

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        carried = site / self.factor
        # where nothing changed, the native number itself, with the site's derivatives and none of its own
        known = differentiated(site) or differentiated(native)
        same = native.detach() + (carried - carried.detach()) if known else native
        return torch.where(site == native * self.factor, same, carried)


@dataclass(frozen=True)
class View:
    """A chain of steps from native to site."""

    steps: tuple[Step, ...] = ()

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        """The site's tensor inside `native`."""
        for step in self.steps:
            native = step.read(native, frame)
        return native

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        """`native` with the site's tensor replaced; `native` itself is not changed."""
        if not self.steps:
            return _in_order_of(native, site)
        layers = [native]
        for step in self.steps[:-1]:
            layers.append(step.read(layers[-1], frame))
        for step, before in zip(reversed(self.steps), reversed(layers), strict=True):
            site = step.write(before, site, frame)
        return _in_order_of(native, site)

    def then(self, *steps: Step) -> View:
        """This view with more steps after it."""
        return View(self.steps + steps)


WHOLE = View()


def differentiated(tensor: Tensor) -> bool:
    """Whether derivatives are followed through a tensor, backwards or forwards."""
    return tensor.requires_grad or forward_ad.unpack_dual(tensor).tangent is not None


def _in_order_of(native: Tensor, new: Tensor) -> Tensor:
    """The new tensor in the native one's order in memory: in another, the same numbers may be multiplied by another
    kernel, which rounds otherwise."""
    if new.stride() == native.stride() or new.shape != native.shape or 0 in native.stride():
        return new
    return torch.empty_strided(native.shape, native.stride(), dtype=new.dtype, device=new.device).copy_(new)
