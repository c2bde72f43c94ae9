"""Layers whose modules stand in lists side by side, and are no modules of their own (XLM, Flaubert).

    attentions[i] → layer_norm1[i] → ffns[i] → layer_norm2[i] → attentions[i + 1] …

The stack is then found as one of these lists, of which no member hands on the stream. Where the members of another list of the
same length give, number for number, what the next members of the first read, a layer is all that is called between the two,
and the stream enters it where it was made. (XLM multiplies it by the mask behind that: of positions that are padding these
sites hold numbers that native code goes on without.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from assay.models.ports import Port
from assay.models.stacks import Block, Stack
from assay.models.trace import Event, Trace
from assay.models.views import WHOLE


def with_what_follows(stack: Stack, native: nn.Module, trace: Trace) -> Stack:
    """The stack with layers that go on to the last of their modules; itself where its members hand on the stream."""
    blocks = stack.blocks
    if len(blocks) < 2 or any(
        torch.equal(before.y, after.x) or before.view != WHOLE for before, after in pairwise(blocks)
    ):
        return stack
    for path in _beside(native, stack):
        ends = [_end(trace, f"{path}.{layer}", block) for layer, block in enumerate(blocks)]
        known = [end for end in ends if end is not None]
        if len(known) == len(blocks) and all(
            torch.equal(value, after.x) for (_, _, value), after in zip(known, blocks[1:], strict=False)
        ):
            return replace(stack, blocks=tuple(_whole(blocks, known, trace)))
    return stack


def _beside(native: nn.Module, stack: Stack) -> Iterator[str]:
    parent = stack.path.rpartition(".")[0]
    for name, module in native.get_submodule(parent).named_children():
        path = f"{parent}.{name}" if parent else name
        if path != stack.path and isinstance(module, nn.ModuleList) and len(module) == len(stack.blocks):
            yield path


def _end(trace: Trace, path: str, block: Block) -> tuple[Event, Port, Tensor] | None:
    """The only call of a module, which comes after a block's, and what it returns of the stream's shape."""
    calls = [event for event in trace.events if event.path == path]
    if len(calls) != 1 or calls[0].start < block.event.end:
        return None
    for key, tensor in calls[0].outputs.items():
        if tensor.shape == block.x.shape:
            return calls[0], Port(path, "out", key, calls[0].call), tensor
    return None


def _whole(blocks: Sequence[Block], ends: Sequence[tuple[Event, Port, Tensor]], trace: Trace) -> Iterator[Block]:
    enters = _made(trace, blocks[0])
    for block, (last, leaves, value) in zip(blocks, ends, strict=True):
        event = replace(
            block.event, start=block.event.start - 1, end=last.end + 1
        )  # its first and its last module lie in it
        yield Block(event, block.x, value, enters, leaves, WHOLE, tuple(trace.inside(event)))
        enters = leaves


def _made(trace: Trace, first: Block) -> Port:
    """Where the stream that enters the first layer was made: the last module that gave it."""
    for event in sorted(trace.events, key=lambda event: -event.end):
        for key, tensor in event.outputs.items():
            if event.end < first.event.start and tensor.shape == first.x.shape and torch.equal(tensor, first.x):
                return Port(event.path, "out", key, event.call)
    return first.enters
