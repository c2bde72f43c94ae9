"""Taps: how a site is read and written through ports.

Most sites are one tensor at one port (`Direct`). A few exist in native code only as part of an expression: the sum
`resid_pre + attn_out`, a head's share of the attention output, a norm's scale. Those are read from the tensors that do
pass, and written by changing the next tensor that carries them. A write of the value that was read changes nothing,
bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from assay.models.offloaded import weight_of
from assay.models.ports import Port
from assay.models.views import WHOLE, Frame, View, differentiated

Memory = dict[Port, Tensor]
"""Native tensors that passed earlier in this forward, by port."""


@dataclass
class Passing:
    """A forward pass under way: its sizes, the native model, and what has passed so far."""

    frame: Frame
    native: nn.Module
    memory: Memory = field(default_factory=dict)


class Tap(Protocol):
    """Reads and writes a site when native code passes `port`."""

    @property
    def derived(self) -> bool:
        """True when `read` would not show what `write` did: the value is computed from what passed earlier."""

    @property
    def port(self) -> Port:
        """Where the site is read and written."""

    @property
    def needs(self) -> tuple[Port, ...]:
        """Ports that pass earlier, whose native tensors `read` and `write` look up."""

    def read(self, here: Tensor, run: Passing) -> Tensor:
        """The site's value."""

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        """The native tensor that gives the site this value, where it had the value `old`."""

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        """The same native tensor, recomputed so that autograd sees it depend on `value` in place of `old`, its equal."""


@dataclass(frozen=True)
class Direct:
    """A tensor that native code passes on as it is, or a part of one."""

    port: Port
    view: View = WHOLE
    needs: tuple[Port, ...] = ()
    derived: ClassVar[bool] = False

    def read(self, here: Tensor, run: Passing) -> Tensor:
        return self.view.read(here, run.frame)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return self.view.write(here, value, run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return self.view.write(here, value.clone(), run.frame)  # native code may go on in place


@dataclass(frozen=True)
class Sum:
    """`base + branch`, where only the branch can be changed: the residual stream in the middle of a block.

    After a write the sum is `base + (value − base)`, equal to `value` within one rounding.
    """

    base: tuple[tuple[Port, View], ...]
    port: Port
    view: View = WHOLE
    derived: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[Port, ...]:
        return tuple(port for port, _ in self.base)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        return self._base(here, run) + self.view.read(here, run.frame)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        branch, carried = self.view.read(here, run.frame), value - self._base(here, run)
        return self.view.write(here, _kept(branch, carried, value == old), run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        branch, carried = self.view.read(here, run.frame), value - self._base(here, run)
        return self.view.write(here, branch.detach() + (carried - carried.detach()), run.frame)

    def _base(self, here: Tensor, run: Passing) -> Tensor:
        # a block's input may lie on the device of the block before
        terms = [view.read(run.memory[port].to(here.device), run.frame) for port, view in self.base]
        return sum(terms[1:], terms[0])


@dataclass(frozen=True)
class Gain:
    """What is added to a tensor on its way from `base` to `port`: the latter less the former, which stays as it is."""

    base: tuple[Port, View]
    port: Port
    view: View = WHOLE
    derived: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.base[0],)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        return self.view.read(here, run.frame) - self._base(here, run)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        whole, carried = self.view.read(here, run.frame), self._base(here, run) + value
        return self.view.write(here, _kept(whole, carried, value == old), run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        whole, carried = self.view.read(here, run.frame), value + self._base(here, run)
        return self.view.write(here, whole.detach() + (carried - carried.detach()), run.frame)

    def _base(self, here: Tensor, run: Passing) -> Tensor:
        port, view = self.base
        return view.read(run.memory[port].to(here.device), run.frame)


@dataclass(frozen=True)
class Addend:
    """One term of the sum that passes at `port`: what passed earlier at `source`, and stays as it is for its other readers."""

    source: Port
    port: Port
    source_view: View = WHOLE
    view: View = WHOLE
    derived: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.source,)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        return self.source_view.read(run.memory[self.source].to(here.device), run.frame)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return self.view.write(here, self.view.read(here, run.frame) + (value - old), run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return self.write(here, old, value, run)  # the numbers are equal; the old one's derivatives are taken out


@dataclass(frozen=True)
class HeadOut:
    """Each head's share of the attention output: z through the head's rows of the output projection.

    Cost: batch · pos · head · d_head · d_model multiplications, as much as the projection itself, and a result that is
    `n_heads` times the size of the attention output.
    """

    projection: str
    z: Direct
    port: Port
    view: View = WHOLE
    turned: bool = False
    """Whether the projection's weight is stored as [in, out]."""
    derived: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.z.port,)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        z = self.z.view.read(run.memory[self.z.port].to(here.device), run.frame)
        weight = output_weight(run.native.get_submodule(self.projection), z.shape[-2], turned=self.turned)
        return torch.einsum("bphd,hdm->bphm", z, weight.to(z.dtype))

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return self.view.write(here, self.view.read(here, run.frame) + (value - old).sum(-2), run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        out, total = self.view.read(here, run.frame), value.sum(-2)
        return self.view.write(here, out.detach() + (total - total.detach()), run.frame)


@dataclass(frozen=True)
class NormScale:
    """What a norm divides by: the root mean square (RMSNorm) or standard deviation (LayerNorm) of its input."""

    source: Port
    port: Port
    centred: bool
    eps: float
    source_view: View = WHOLE
    view: View = WHOLE
    derived: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.source,)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        source = run.memory[self.source].to(here.device)
        return norm_scale(self.source_view.read(source, run.frame), self.centred, self.eps)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        _, out, bias = self._parts(here, run)
        return self.view.write(here, torch.where(value == old, out, bias + (out - bias) * (old / value)), run.frame)

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        _, out, bias = self._parts(here, run)
        # the factor is one: the native number itself, bit for bit, with the scale's derivative taken out or put in
        return self.view.write(here, out + (out - bias).detach() * (old / value - 1), run.frame)

    def _parts(self, here: Tensor, run: Passing) -> tuple[Tensor, Tensor, Tensor]:
        bias = weight_of(run.native.get_submodule(self.port.module), "bias")
        out = self.view.read(here, run.frame)
        return self.read(here, run), out, torch.zeros_like(out) if bias is None else bias.expand_as(out)


@dataclass(frozen=True)
class ExpertWeights:
    """Routing weights as one column per expert: the weights of the chosen experts, zero for the others.

    Only the weights of experts that were chosen can be changed; choosing other experts means editing `router`.
    """

    port: Port
    chosen: Port
    n_experts: int
    derived: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.chosen,)

    def read(self, here: Tensor, run: Passing) -> Tensor:
        dense = here.new_zeros(*here.shape[:-1], self.n_experts)
        return dense.scatter(-1, run.memory[self.chosen], here).reshape(run.frame.batch, -1, self.n_experts)

    def write(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return value.reshape(*here.shape[:-1], self.n_experts).gather(-1, run.memory[self.chosen])

    def attach(self, here: Tensor, old: Tensor, value: Tensor, run: Passing) -> Tensor:
        return value.reshape(*here.shape[:-1], self.n_experts).gather(-1, run.memory[self.chosen])


def _kept(native: Tensor, carried: Tensor, same: Tensor) -> Tensor:
    """What is carried; where nothing changed, the native number itself, with the derivatives of what is carried."""
    if differentiated(carried):
        native = native.detach() + (carried - carried.detach())
    return torch.where(same, native, carried)


def norm_scale(x: Tensor, centred: bool, eps: float) -> Tensor:
    """Root mean square, or standard deviation, over the last axis, with the norm's epsilon, in float32 or better."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if centred:
        wide = wide - wide.mean(-1, keepdim=True)
    return (wide.square().mean(-1, keepdim=True) + eps).sqrt().to(x.dtype)


def output_weight(projection: nn.Module, heads: int, *, turned: bool) -> Tensor:
    """The output projection's weight as [head, d_head, d_model]; `turned`: it is stored as [in, out]."""
    weight = weight_of(projection)
    assert weight is not None  # the site was found by multiplying with it
    return torch.unflatten(weight if turned else weight.T, 0, (heads, -1))
