"""Taps: how a site is read and written through ports.

Most sites are one tensor at one port (`Direct`). A few exist in native code only as part of an expression: the sum
`resid_pre + attn_out`, a head's share of the attention output, a norm's scale. Those are read from the tensors that do
pass, and written by changing the next tensor that carries them. A write of the value that was read changes nothing,
bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from assay.models.ports import Port
from assay.models.views import WHOLE, Frame, View

Memory = dict[Port, Tensor]
"""Native tensors that passed earlier in this forward, by port."""


class Tap(Protocol):
    """Reads and writes a site when native code passes `port`."""

    @property
    def port(self) -> Port:
        """Where the site is read and written."""

    @property
    def needs(self) -> tuple[Port, ...]:
        """Ports that pass earlier, whose native tensors `read` and `write` look up."""

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        """The site's value."""

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        """The native tensor that gives the site this value."""

    def attach(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        """The same native tensor, recomputed so that autograd sees it depend on `value` (equal to what was read)."""


@dataclass(frozen=True)
class Direct:
    """A tensor that native code passes on as it is, or a part of one."""

    port: Port
    view: View = WHOLE
    needs: tuple[Port, ...] = ()

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        return self.view.read(here, frame)

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        return self.view.write(here, value, frame)

    attach = write


@dataclass(frozen=True)
class Sum:
    """`base + branch`, where only the branch can be changed: the residual stream in the middle of a block.

    After a write the sum is `base + (value − base)`, equal to `value` within one rounding.
    """

    base: tuple[tuple[Port, View], ...]
    port: Port
    view: View = WHOLE

    @property
    def needs(self) -> tuple[Port, ...]:
        return tuple(port for port, _ in self.base)

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        return self._base(memory, frame) + self.view.read(here, frame)

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        base, branch = self._base(memory, frame), self.view.read(here, frame)
        return self.view.write(here, torch.where(value == base + branch, branch, value - base), frame)

    def attach(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        branch, carried = self.view.read(here, frame), value - self._base(memory, frame)
        return self.view.write(here, branch.detach() + (carried - carried.detach()), frame)

    def _base(self, memory: Memory, frame: Frame) -> Tensor:
        terms = [view.read(memory[port], frame) for port, view in self.base]
        return sum(terms[1:], terms[0])


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

    @property
    def needs(self) -> tuple[Port, ...]:
        return (self.z.port,)

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        z = self.z.view.read(memory[self.z.port], frame)
        weight = output_weight(native.get_submodule(self.projection), z.shape[-2])
        return torch.einsum("bphd,hdm->bphm", z, weight.to(z.dtype))

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        old = self.read(here, memory, frame, native)
        out = self.view.read(here, frame)
        return self.view.write(here, out + (value - old).sum(-2), frame)

    def attach(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        out, total = self.view.read(here, frame), value.sum(-2)
        return self.view.write(here, out.detach() + (total - total.detach()), frame)


@dataclass(frozen=True)
class NormScale:
    """What a norm divides by: the root mean square (RMSNorm) or standard deviation (LayerNorm) of its input."""

    source: Port
    port: Port
    centred: bool
    eps: float
    source_view: View = WHOLE
    view: View = WHOLE
    needs: tuple[Port, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", (self.source,))

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        return norm_scale(self.source_view.read(memory[self.source], frame), self.centred, self.eps)

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        old, out, bias = self._parts(here, memory, frame, native)
        return self.view.write(here, torch.where(value == old, out, bias + (out - bias) * (old / value)), frame)

    def attach(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        old, out, bias = self._parts(here, memory, frame, native)
        return self.view.write(here, bias + (out - bias) * (old / value), frame)

    def _parts(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        bias = getattr(native.get_submodule(self.port.module), "bias", None)
        out = self.view.read(here, frame)
        return (
            self.read(here, memory, frame, native),
            out,
            torch.zeros_like(out) if bias is None else bias.expand_as(out),
        )


@dataclass(frozen=True)
class ExpertWeights:
    """Routing weights as one column per expert: the weights of the chosen experts, zero for the others.

    Only the weights of experts that were chosen can be changed; choosing other experts means editing `router`.
    """

    port: Port
    chosen: Port
    n_experts: int
    needs: tuple[Port, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", (self.chosen,))

    def read(self, here: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        dense = here.new_zeros(*here.shape[:-1], self.n_experts)
        return dense.scatter(-1, memory[self.chosen], here).reshape(frame.batch, -1, self.n_experts)

    def write(self, here: Tensor, value: Tensor, memory: Memory, frame: Frame, native: nn.Module) -> Tensor:
        return value.reshape(*here.shape[:-1], self.n_experts).gather(-1, memory[self.chosen])

    attach = write


def norm_scale(x: Tensor, centred: bool, eps: float) -> Tensor:
    """Root mean square, or standard deviation, over the last axis, with the norm's epsilon, in float32 or better."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if centred:
        wide = wide - wide.mean(-1, keepdim=True)
    return (wide.square().mean(-1, keepdim=True) + eps).sqrt().to(x.dtype)


def output_weight(projection: nn.Module, heads: int) -> Tensor:
    """The output projection's weight as [head, d_head, d_model]; Linear and Conv1D differ by a transpose."""
    weight: Tensor = projection.weight  # type: ignore[assignment]
    rows = weight if type(projection).__name__ == "Conv1D" else weight.T
    return torch.unflatten(rows, 0, (heads, -1))
