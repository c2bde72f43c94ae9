"""Stacks: the chains of blocks that carry a residual stream.

A stack is a `ModuleList` (the outermost one, where they nest) whose members were called one after another, each
reading and returning a tensor of one shape. A list whose one member is called again and again (ALBERT) counts each
call as a layer, and lists that take turns (HRM's two levels) are one stack, in the order of their calls. Several streams side
by side (hyper-connections, AltUp) are one that is as wide as all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assay.models.ports import Key, Port
from assay.models.trace import Event, Trace
from assay.models.views import WHOLE, Abreast, Frame, Swap, Unflatten, View


@dataclass(frozen=True)
class Block:
    """One layer: its call, and the residual stream that enters and leaves it."""

    event: Event
    x: Tensor
    y: Tensor
    enters: Port
    leaves: Port
    view: View
    inner: tuple[Event, ...] = ()

    def __hash__(self) -> int:
        return id(self)

    @property
    def frame(self) -> Frame:
        """Sizes of the traced pass in this stack."""
        return Frame(self.x.shape[0], self.x.shape[1])


@dataclass(frozen=True)
class Stack:
    """A chain of blocks. `name` is None for the only or the language stack, else enc, dec or vision."""

    name: str | None
    path: str
    blocks: tuple[Block, ...]


def find_stacks(native: nn.Module, trace: Trace) -> list[Stack]:
    """All stacks in forward order. Blocks without the traced pass's batch axis are none."""
    chains: list[tuple[str, tuple[Block, ...]]] = []
    for path, module in native.named_modules():
        inner = any(path.startswith(taken + ".") for taken, _ in chains)
        if isinstance(module, nn.ModuleList) and len(module) and not inner:
            blocks = _chain(path, len(module), trace)
            if blocks:
                chains.append((path, blocks))
    chains.sort(key=lambda chain: chain[1][0].event.start)
    return list(_named(native, _by_turns(chains)))


def layout(tensor: Tensor, width: int, frame: Frame) -> View | None:
    """How to see a tensor as [batch, pos, width], or None when it is no such tensor."""
    if tensor.shape == (frame.batch, frame.pos, width):
        return WHOLE
    if tensor.shape == (frame.pos, frame.batch, width):
        return View((Swap(0, 1),))
    if tensor.shape == (frame.batch * frame.pos, width):
        return View((Unflatten(),))
    return None


def _chain(path: str, size: int, trace: Trace) -> tuple[Block, ...]:
    members = {f"{path}.{i}" for i in range(size)}
    events = [e for e in trace.events if e.path in members]
    blocks = [b for e in events if (b := _block(e, tuple(trace.inside(e)), trace)) is not None]
    if len(blocks) < len(events) or not blocks or any(b.x.shape != blocks[0].x.shape for b in blocks):
        return ()
    if len(blocks) > 1 and all(torch.equal(b.x, blocks[0].x) for b in blocks):
        return ()  # they stand side by side: none reads what another returned
    return tuple(blocks)


def _by_turns(chains: list[tuple[str, tuple[Block, ...]]]) -> list[tuple[str, tuple[Block, ...]]]:
    """Chains of one shape that are called several times each, one again after the other has begun, as one."""
    found: list[tuple[str, tuple[Block, ...]]] = []
    for path, blocks in chains:  # in the order in which they begin
        before = found[-1][1] if found else ()
        again = before and all(any(block.event.call for block in each) for each in (before, blocks))
        if again and before[0].x.shape == blocks[0].x.shape and blocks[0].event.start < before[-1].event.start:
            found[-1] = found[-1][0], tuple(sorted((*before, *blocks), key=lambda block: block.event.start))
        else:
            found.append((path, blocks))
    return found


def _block(event: Event, inner: tuple[Event, ...], trace: Trace) -> Block | None:
    for key_in, x in _preferred(event.inputs):
        for key_out, y in event.outputs.items():
            found = _stream(tuple(x.shape), trace) if x.shape == y.shape else None
            if found is not None:
                view, frame = found
                enters, leaves = (
                    Port(event.path, "in", key_in, event.call),
                    Port(event.path, "out", key_out, event.call),
                )
                return Block(event, view.read(x, frame), view.read(y, frame), enters, leaves, view, inner)
    return None


def _stream(shape: tuple[int, ...], trace: Trace) -> tuple[View, Frame] | None:
    """How a tensor of this shape is a residual stream, or several side by side; None where it is none."""
    batch, pos = trace.batch, trace.pos
    if len(shape) == 3 and batch in shape[:2]:
        examples_first = shape[0] == batch
        return (WHOLE if examples_first else View((Swap(0, 1),))), Frame(batch, shape[1 if examples_first else 0])
    if len(shape) == 4 and (batch, pos) in (shape[:2], shape[1:3]):
        return View((Abreast(2 if shape[:2] == (batch, pos) else 0),)), Frame(batch, pos or 0)
    return None


def _preferred(inputs: dict[Key, Tensor]) -> list[tuple[Key, Tensor]]:
    """Arguments in order, those called hidden states first."""
    return sorted(inputs.items(), key=lambda item: item[0] not in (0, "hidden_states", "x", "hidden_state"))


def _named(native: nn.Module, chains: list[tuple[str, tuple[Block, ...]]]) -> Iterator[Stack]:
    encoder_decoder = bool(getattr(getattr(native, "config", None), "is_encoder_decoder", False))
    taken: set[str | None] = set()
    for path, blocks in sorted(chains, key=lambda chain: -len(chain[1])):
        name = _stack_name(path, encoder_decoder, len(chains))
        if name not in taken:
            taken.add(name)
            yield Stack(name, path, blocks)


def _stack_name(path: str, encoder_decoder: bool, n: int) -> str | None:
    if encoder_decoder:
        return "dec" if "decoder" in path else "enc"
    if n > 1 and any(word in path for word in ("vision", "visual", "image")):
        return "vision"
    return None
