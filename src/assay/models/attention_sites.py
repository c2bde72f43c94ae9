"""Attention internals of one block, found by values.

The evidence is the attention function's own arguments (or, in models that do not use transformers' attention
interface, the products around the softmax). The value columns are looked up among the outputs of the projections, and
query and key at position 0, where rotary embeddings turn nothing: that gives q, k, v as projected, whatever the layout
of fused weights. z is what the output projection reads. Softmax input and output are scores and pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from assay.models.columns import any_columns, as_step, run_of_columns
from assay.models.head_sites import head_sites, linear_events, output_projection, token_steps
from assay.models.ports import Port
from assay.models.stacks import Block
from assay.models.taps import Direct, Tap
from assay.models.trace import Event, Operation, Trace
from assay.models.views import First, Frame, Heads, Newest, SplitBatch, Step, Swap, View

Match = Callable[[Tensor, Tensor], tuple[int, ...] | None]


@dataclass
class AttentionSites:
    """Taps by site name (q, k, v, …), and the reason for each that is absent."""

    taps: dict[str, Tap] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    sinks: int = 0


@dataclass(frozen=True)
class Operands:
    """What attention computes with: [batch, pos, head, d_head] each, its output, and when the values were mixed."""

    q: Tensor | None
    k: Tensor | None
    v: Tensor | None
    out: Tensor | None
    mixed: int
    interface: bool


FUSED = "a fused kernel computes attention here and shows nothing of its inside"
NO_INTERFACE = "this architecture does not call transformers' attention interface"


def attention_sites(native: nn.Module, block: Block, operation: Operation, trace: Trace) -> AttentionSites:
    """All attention sites around one softmax, or one call of a fused kernel, of a block."""
    sites = AttentionSites()
    owner = next(e for e in trace.events if e.path == operation.path and e.call == operation.call)
    if operation.kind == "softmax":
        _softmax_sites(sites, operation, block.frame)
        operands = _operands(operation, owner, trace, block.frame)
    else:
        sites.reasons |= dict.fromkeys(("scores", "pattern"), FUSED)
        operands = _fused_operands(operation)
    heads = _head_count(operation, block.frame)
    if heads is None:
        sites.reasons |= dict.fromkeys(("q", "k", "v", "z", "head_out", "q_rot", "k_rot"), FUSED)
        return sites
    linear = list(linear_events(native, block, trace))
    around = [e for e in block.inner if e.contains(operation) and any(e.contains(each) for each in linear)]
    whole = around[-1] if around else owner  # the softmax may be a module of its own inside it
    inside = [whole, *(e for e in block.inner if whole.contains(e) and e.start > operands.mixed)]
    projection = output_projection(linear, operands.mixed, inside, operands.out, heads, block.frame)
    taps, reasons = head_sites(native, projection, heads, block.frame)
    sites.taps |= taps
    sites.reasons |= reasons
    _projection_sites(native, sites, operands, block, trace)
    _rotated_sites(sites, operands, operation)
    return sites


def _rotated_sites(sites: AttentionSites, operands: Operands, operation: Operation) -> None:
    """Query and key as attention receives them."""
    if not operands.interface:
        sites.reasons |= dict.fromkeys(("q_rot", "k_rot"), NO_INTERFACE)
        return
    if operands.q is not None:
        sites.taps["q_rot"] = Direct(Port(operation.path, "q", 0, operation.call), View((Swap(1, 2),)))
    if operands.k is not None:
        sites.taps["k_rot"] = Direct(Port(operation.path, "k", 0, operation.call), View((Newest(2), Swap(1, 2))))


def _fused_operands(operation: Operation) -> Operands:
    if len(operation.tensors) < 4:
        return Operands(None, None, None, None, operation.start, interface=False)
    q, k, v, out = (t.transpose(1, 2) for t in operation.tensors)
    return Operands(q, k, v, out, operation.start, interface=False)


def _head_count(operation: Operation, frame: Frame) -> int | None:
    """Query heads; None where nothing shows them."""
    if operation.kind != "softmax":
        return int(operation.tensors[0].shape[1]) if len(operation.tensors) == 4 else None
    shape = operation.tensors[1].shape
    return int(shape[1]) if len(shape) == 4 else int(shape[0] // frame.batch)


def _softmax_sites(sites: AttentionSites, softmax: Operation, frame: Frame) -> None:
    pattern = softmax.tensors[1]
    steps: tuple[Step, ...] = (SplitBatch(),) if pattern.ndim == 3 else ()
    sites.sinks = max(0, pattern.shape[-1] - _key_length(softmax, frame))
    if sites.sinks:
        steps = (*steps, First(sites.sinks))
    for name in ("scores", "pattern"):
        sites.taps[name] = Direct(Port(softmax.path, name, softmax.index, softmax.call), View(steps))


def _key_length(softmax: Operation, frame: Frame) -> int:
    extra = softmax.tensors[1].shape[-1] - softmax.tensors[1].shape[-2]
    return int(softmax.tensors[1].shape[-1]) - (extra if extra in (1,) else 0)


def _operands(softmax: Operation, owner: Event, trace: Trace, frame: Frame) -> Operands:
    def last(kind: str) -> Tensor | None:
        mine = [o for o in trace.operations if o.kind == kind and o.path == softmax.path and owner.contains(o)]
        mine = [o for o in mine if o.start < softmax.start]
        return mine[-1].tensors[0].transpose(1, 2) if mine else None

    q, k, v = last("q"), last("k"), last("v")
    product = _product_after(softmax, trace)
    out = None if product is None else _per_head(product.tensors[-1], frame, softmax)
    mixed = softmax.start if product is None else product.start
    if v is not None:
        return Operands(q, k, v, out, mixed, interface=True)
    value = None if product is None else _per_head(product.tensors[-2], frame, softmax)
    return Operands(*_query_key(softmax, trace, frame), value, out, mixed, interface=False)


def _product_after(softmax: Operation, trace: Trace) -> Operation | None:
    """The product of the pattern with the values."""
    pattern = softmax.tensors[1]
    for op in trace.operations:
        if op.kind == "product" and softmax.start < op.start < softmax.start + 40 and len(op.tensors) == 3:
            left = op.tensors[0]
            if left.shape[-2] == pattern.shape[-2] and left.numel() <= pattern.numel() and op.path == softmax.path:
                return op
    return None


def _query_key(softmax: Operation, trace: Trace, frame: Frame) -> tuple[Tensor | None, Tensor | None]:
    before = [o for o in trace.operations if o.kind == "product" and o.path == softmax.path and o.start < softmax.start]
    before = [o for o in before if o.call == softmax.call and o.tensors[-1].numel() == softmax.tensors[0].numel()]
    if not before:
        return None, None
    q, kt = before[-1].tensors[-3:-1]
    return _per_head(q, frame, softmax), _per_head(kt.transpose(-1, -2), frame, softmax)


def _per_head(tensor: Tensor, frame: Frame, softmax: Operation) -> Tensor | None:
    """[batch, head, pos, d] or [batch·head, pos, d] as [batch, pos, head, d]."""
    if tensor.ndim == 3 and tensor.shape[0] % frame.batch == 0:
        tensor = tensor.unflatten(0, (frame.batch, -1))
    if tensor.ndim == 4 and tensor.shape[0] == frame.batch:
        return tensor.transpose(1, 2)
    return None


def _projection_sites(native: nn.Module, sites: AttentionSites, operands: Operands, block: Block, trace: Trace) -> None:
    linear = [e for e in linear_events(native, block, trace) if e.end < operands.mixed]
    norms = [e for e in block.inner if e.end < operands.mixed and e not in linear]
    for name, tensor in (("q", operands.q), ("k", operands.k), ("v", operands.v)):
        if tensor is None:
            sites.reasons[name] = "attention's operands could not be told apart in this architecture's code"
            continue
        tap = _find_columns(tensor, linear, norms, trace, block)
        if tap is None:
            sites.reasons[name] = f"no projection of this block gives {name} (low-rank or shared parts: see docs)"
        else:
            sites.taps[name] = tap


def _find_columns(target: Tensor, linear: list[Event], norms: list[Event], trace: Trace, block: Block) -> Direct | None:
    """The projection that gives an operand: first as it stands, at any position and then at the first, where rotary
    embeddings turn nothing; then permuted or scaled; the norm in between may come before the rotation or after it."""
    frame = block.frame
    target = _without_repeats(target)
    heads = target.shape[2]
    if target.shape[0] != frame.batch:
        return None
    for match in (run_of_columns, any_columns):
        for position in (None, 0):
            for event in reversed(linear):
                if (tap := _columns_of(target, event, position, heads, match)) is not None:
                    return tap
    for event in reversed(norms):
        for position in (None, 0):
            if (source := _through_norm(target, event, position, frame)) is None:
                continue
            for projection in reversed([e for e in linear if e.end < event.start]):
                for at in (None, 0):
                    if (tap := _columns_of(source, projection, at, heads, any_columns)) is not None:
                        return tap
    return None


def _columns_of(target: Tensor, event: Event, position: int | None, heads: int, match: Match) -> Direct | None:
    for key, out in event.outputs.items():
        own = Frame(target.shape[0], target.shape[1])
        steps = token_steps(out, own)
        if steps is None:
            continue
        source = View(steps).read(out, own)
        if source.shape[1] != target.shape[1]:
            continue
        index = match(_table(target, position), _table(source, position))
        if index is None:
            continue
        step = as_step(index, source.shape[-1])
        chain = (*steps, *((step,) if step else ()), Heads(heads))
        return Direct(Port(event.path, "out", key, event.call), View(chain))
    return None


def _through_norm(target: Tensor, event: Event, position: int | None, frame: Frame) -> Tensor | None:
    """When a norm's output is the target: the norm's input, in the same layout."""
    for out in event.outputs.values():
        for x in event.inputs.values():
            if x.shape != out.shape or out.numel() != target.numel():
                continue
            for arrange in (lambda t: t, lambda t: t.transpose(1, 2)):
                shaped = arrange(out) if out.ndim == 4 else out.reshape(target.shape) if out.ndim <= 3 else None
                if shaped is None or shaped.shape != target.shape:
                    continue
                if torch.equal(_table(shaped, position), _table(target, position)) and not torch.equal(x, out):
                    return arrange(x) if x.ndim == 4 else x.reshape(target.shape)
    return None


def _table(tensor: Tensor, position: int | None) -> Tensor:
    """[batch, pos, …] as [token, column], of one position or of all."""
    chosen = tensor if position is None else tensor[:, position : position + 1]
    return chosen.reshape(chosen.shape[0] * chosen.shape[1], -1)


def _without_repeats(target: Tensor) -> Tensor:
    """One entry for each key/value head, where native code repeated them for the query heads."""
    kept: list[int] = []
    for head in range(target.shape[2]):
        if not any(torch.equal(target[:, :, head], target[:, :, k]) for k in kept):
            kept.append(head)
    return target if len(kept) == target.shape[2] else target[:, :, kept]
