"""`z` and `head_out` of one attention: what the output projection reads, and each head's share of what it returns.

A share is z times the head's rows of the projection's weight. That is only true of a projection that multiplies by its
weight and does nothing else, so it is checked on the traced tokens: the shares and the bias must add up to the output.
A weight that is stored the other way round is told by the same sum. Cost: one product per block, on 24 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from assay.models.offloaded import weight_of
from assay.models.ports import Port
from assay.models.stacks import Block
from assay.models.taps import Direct, HeadOut, Tap
from assay.models.trace import Event, Trace
from assay.models.views import Frame, Heads, MergeHeads, Step, Swap, Unflatten, View

NO_PROJECTION = "no linear layer reads the heads' outputs side by side"
NOT_LINEAR = "the output projection does more than multiply by its weight, so heads have no share in it"


def head_sites(
    native: nn.Module, projection: Event | None, heads: int, frame: Frame
) -> tuple[dict[str, Tap], dict[str, str]]:
    """Taps and reasons for `z` and `head_out`."""
    if projection is None:
        return {}, dict.fromkeys(("z", "head_out"), NO_PROJECTION)
    key, x = next(iter(projection.inputs.items()))
    out_key, y = next(iter(projection.outputs.items()))
    steps, out_steps = token_steps(x, frame), token_steps(y, frame)
    if steps is None or out_steps is None:
        return {}, dict.fromkeys(("z", "head_out"), f"the output projection reads shape {tuple(x.shape)}")
    z = Direct(Port(projection.path, "in", key, projection.call), View((*steps, Heads(heads))))
    turned = _turned(native.get_submodule(projection.path), View(steps).read(x, frame), View(out_steps).read(y, frame))
    if turned is None:
        return {"z": z}, {"head_out": NOT_LINEAR}
    port = Port(projection.path, "out", out_key, projection.call)
    return {"z": z, "head_out": HeadOut(projection.path, z, port, View(out_steps), turned)}, {}


def linear_events(native: nn.Module, block: Block, trace: Trace) -> Iterator[Event]:
    """Calls of modules with a weight matrix, in order of their start."""
    for event in block.inner:
        weight = getattr(native.get_submodule(event.path), "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2 and event.inputs and event.outputs:
            yield event


def output_projection(
    linear: Sequence[Event], after: int, inside: Sequence[Event], mixed: Tensor | None, heads: int, frame: Frame
) -> Event | None:
    """The first linear layer that reads all heads' outputs, after the time `after`: the very values that were `mixed`,
    or, where something comes in between (a gate, a norm), a layer `inside` the module that computes attention (the
    first of these calls; the others are in it), or one that reads what it returns."""
    projects = any(inside[0].contains(event) for event in linear)  # else W_O may be a parameter, already applied
    for event in linear:
        x = next(iter(event.inputs.values()))
        if event.start < after or x.numel() != frame.batch * frame.pos * x.shape[-1] or x.shape[-1] % heads:
            continue
        if mixed is not None and x.shape[-1] != mixed.shape[-2] * mixed.shape[-1]:
            continue
        if inside[0].contains(event) or (projects and _returned(x, inside)):
            return event
        if mixed is not None and _reads(x, mixed, frame):
            return event
    return None


def _returned(x: Tensor, inside: Sequence[Event]) -> bool:
    outputs = (t for event in inside for t in event.outputs.values())
    return any(t.numel() == x.numel() and torch.equal(t.reshape(-1), x.reshape(-1)) for t in outputs)


def _reads(x: Tensor, mixed: Tensor, frame: Frame) -> bool:
    steps = token_steps(x, frame)
    return steps is not None and torch.equal(View(steps).read(x, frame), mixed.flatten(-2))


def token_steps(tensor: Tensor, frame: Frame) -> tuple[Step, ...] | None:
    """Steps that bring a tensor to [batch, pos, n], merging heads that native code keeps apart."""
    b, p = frame.batch, frame.pos
    if tensor.shape[:2] == (b, p):
        return () if tensor.ndim == 3 else (MergeHeads(tensor.shape[2]),) if tensor.ndim == 4 else None
    if tensor.ndim == 3 and tensor.shape[:2] == (p, b):
        return (Swap(0, 1),)
    if tensor.ndim == 2 and tensor.shape[0] == b * p:
        return (Unflatten(),)
    if tensor.ndim == 4 and tensor.shape[0] == b and tensor.shape[2] == p:
        return (Swap(1, 2), MergeHeads(tensor.shape[1]))
    return None


def _turned(projection: nn.Module, x: Tensor, y: Tensor) -> bool | None:
    """Whether the weight is stored as [in, out]; None when the output is not the input times it, plus the bias."""
    weight, bias = weight_of(projection), weight_of(projection, "bias")
    if weight is None or not weight.is_floating_point():
        return None
    shift = bias.detach().double() if isinstance(bias, Tensor) else 0.0
    exact = y.dtype in (torch.float32, torch.float64)
    for turned in (type(projection).__name__ == "Conv1D", type(projection).__name__ != "Conv1D"):
        rows = weight.detach().double() if turned else weight.detach().double().T
        if rows.shape != (x.shape[-1], y.shape[-1]):
            continue
        missed = (x.double() @ rows + shift - y.double()).abs().max()
        if float(missed) <= (1e-4 if exact else 3e-2) * float(y.abs().max()):
            return turned
    return None
