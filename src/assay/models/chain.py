"""A chain of blocks that can be entered and left in the middle: what a schedule needs to know of a stack.

In a plain chain every block reads just what the block before returned, so a pass can begin at any block from a residual
stream that is known already. What a block is given besides (rotary tables, masks, position ids) is described by the
axes of its tensors that run over examples and positions; they are seen by comparing shapes with the traced pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from assay.models.ports import Port, get_input, put_input
from assay.models.stacks import Stack
from assay.models.views import WHOLE

Shape = tuple[int, ...] | None


@dataclass(frozen=True)
class Link:
    """One block of a chain. `shapes` are those of its other tensor arguments in the traced pass, None for the rest."""

    path: str
    enters: Port
    leaves: Port
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Chain:
    """The blocks of a stack in order. `broken` says why they are no plain chain; None when they are."""

    stack: str | None
    links: tuple[Link, ...]
    batch: int
    pos: int
    broken: str | None

    def __len__(self) -> int:
        return len(self.links)


def chain_of(stack: Stack) -> Chain:
    """The chain of a traced stack."""
    blocks = stack.blocks
    links = []
    for block in blocks:
        args, kwargs = block.event.arguments
        if block.enters.side == "in":
            args, kwargs = put_input(args, kwargs, block.enters.key, block.x[:0])
        leaves, _ = tree_flatten((args, kwargs))
        shapes = tuple(tuple(a.shape) if isinstance(a, Tensor) else None for a in leaves)
        links.append(Link(block.event.path, block.enters, block.leaves, shapes))
    frame = blocks[0].frame
    return Chain(stack.name, tuple(links), frame.batch, frame.pos, _broken(stack))


def _broken(stack: Stack) -> str | None:
    blocks = stack.blocks
    if any(b.enters.side == "out" for b in blocks):
        return "its layers are no modules of their own"
    if any(b.event.call or b.view != WHOLE for b in blocks) or len({b.event.path for b in blocks}) < len(blocks):
        return "its blocks are called more than once, or keep positions before examples"
    for number, (before, after) in enumerate(pairwise(blocks)):
        if not torch.equal(before.y, after.x):
            return f"something happens to the residual stream between blocks {number} and {number + 1}"
    return None


def argument_axes(now: Shape, traced: Shape, sizes: Mapping[str, int], chain: Chain) -> dict[int, str]:
    """Which axes of an argument run over "batch" and "pos", from its shape now and in the traced pass.

    Examples come before positions: an axis after them that is as long by chance (a rotary dimension of 4) is another one.
    """
    if now is None or traced is None or len(now) != len(traced):
        return {}
    found: dict[int, str] = {}
    for axis, (here, there) in enumerate(zip(now, traced, strict=True)):
        if there == chain.pos and here == sizes["pos"]:
            found[axis] = "pos"
        elif there == chain.batch and here == sizes["batch"] and not found:
            found[axis] = "batch"
    return found


def split_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], link: Link) -> tuple[Tensor, Sequence[Any], Any]:
    """The residual stream that enters a block, and its other arguments as leaves of a tree."""
    hidden = get_input(args, kwargs, link.enters.key)
    rest, spec = tree_flatten(put_input(args, dict(kwargs), link.enters.key, hidden[:0]))
    return hidden, rest, spec
