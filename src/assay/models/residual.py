"""What each block adds to the residual stream, found by arithmetic.

A block reads x and returns y. Among the tensors that its submodules return, those are sought that explain y:

    pre-norm       y = x + a          y = (x + a) + b        y = x + (a + b)         y = ((x + a) + b) + c
    multiplied     y = x + α·a + β·b      (constant residual multipliers)
    rescaled       y = s · (x + a + b)    (s: a number that the block keeps among its weights)
    post-norm      u = norm(x + a),  y = norm(u + b)

The sum must hold element by element within a few roundings of the dtype, so a coincidence is all but impossible on
trained weights. When several submodules return the same tensor (a projection, its dropout, the module around both) the
last one to return is taken: it is the one whose value goes into the sum. Cost: cubic in the number of distinct
submodule outputs of one block (about ten), on 24 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType

import torch
from torch import Tensor

from assay.models.ports import Port
from assay.models.stacks import Block, layout
from assay.models.trace import Event
from assay.models.views import Scaled, View


@dataclass(frozen=True)
class Branch:
    """A tensor that is added to the residual stream."""

    event: Event
    port: Port
    view: View
    value: Tensor

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True)
class Norm:
    """In post-norm blocks: a norm that reads the sum and hands on the new stream."""

    event: Event
    source: Port
    port: Port
    view: View


@dataclass(frozen=True)
class Explanation:
    """How a block makes y from x. `kind`: sequential (pre-norm sums), post-norm. `rescaled`: the weight that y is multiplied
    by at the end."""

    kind: str
    branches: tuple[Branch, ...]
    norms: tuple[Norm, ...] = ()
    rescaled: str | None = None


def explain_block(
    block: Block, hint: Explanation | None = None, numbers: Mapping[str, float] = MappingProxyType({})
) -> Explanation | None:
    """Find the block's branches; a neighbour's explanation is tried first. `numbers` are single numbers among its weights."""
    events = list(block.inner)
    found = list(_candidates(block, events))
    if hint is not None and (again := _same_as(block, found, hint)) is not None:
        return again
    unique = _last_of_equals(found)
    if hint is not None and hint.rescaled and (again := _rescaled(block, unique, numbers)) is not None:
        return again
    for search in (_sums, _post_norm, _multiplied):
        if (explanation := search(block, unique, events)) is not None:
            return explanation
    return _rescaled(block, unique, numbers)


def close(left: Tensor, right: Tensor, terms: Sequence[Tensor]) -> bool:
    """Equal within a few roundings of the largest term, element by element (99.9 % of the elements in half
    precision)."""
    dtype = terms[0].dtype
    if torch.equal(left, right):
        return True
    scale = torch.stack([t.abs().double() for t in terms]).amax(0)
    bad = (left.double() - right.double()).abs() > 16 * torch.finfo(dtype).eps * scale
    return not bool(bad.any()) if dtype in (torch.float32, torch.float64) else float(bad.double().mean()) < 1e-3


def _candidates(block: Block, events: list[Event]) -> Iterator[Branch]:
    for event in sorted(events, key=lambda e: e.end):
        for key, tensor in event.outputs.items():
            view = layout(tensor, block.x.shape[-1], block.frame)
            if view is not None:
                value = view.read(tensor, block.frame)
                if float(value.abs().max()) > 0:
                    yield Branch(event, Port(event.path, "out", key, event.call), view, value)


def _last_of_equals(found: list[Branch]) -> list[Branch]:
    kept: list[Branch] = []
    for branch in found:
        kept = [k for k in kept if not torch.equal(k.value, branch.value)] + [branch]
    return kept


def _sums(block: Block, unique: list[Branch], events: list[Event]) -> Explanation | None:
    x, y = block.x, block.y
    for n in (1, 2, 3):
        for parts in combinations(unique, n):
            if _adds_up(x, y, [p.value for p in parts]):
                return Explanation("sequential", parts)
    return None


def _adds_up(x: Tensor, y: Tensor, parts: list[Tensor]) -> bool:
    """y = x + Σ parts. A quick look at one token first, since nearly every candidate fails."""
    probe = x[0, -1].double() + sum(p[0, -1].double() for p in parts)
    largest = max(float(t[0, -1].abs().max()) for t in (x, *parts))
    if float((probe - y[0, -1].double()).abs().max()) > 64 * torch.finfo(x.dtype).eps * largest:
        return False
    total = x.double() + sum(p.double() for p in parts)
    if not close(total, y, [x, *parts]):
        return False
    rest = [float(p.abs().max()) for p in parts]
    return len(parts) == 1 or min(rest) > 4 * torch.finfo(x.dtype).eps * float(y.abs().max())


def _post_norm(block: Block, unique: list[Branch], events: list[Event]) -> Explanation | None:
    first = _normed_sum(block.x, unique, events, block)
    if first is None:
        return None
    branch, norm, stream = first
    if torch.equal(stream, block.y):
        return Explanation("post-norm", (branch,), (norm,))
    later = [b for b in unique if b.event.end > norm.event.end]
    second = _normed_sum(stream, later, events, block)
    if second is not None and torch.equal(second[2], block.y):
        return Explanation("post-norm", (branch, second[0]), (norm, second[1]))
    if second is not None:
        third = _normed_sum(second[2], [b for b in later if b.event.end > second[1].event.end], events, block)
        if third is not None and torch.equal(third[2], block.y):
            return Explanation("post-norm", (branch, second[0], third[0]), (norm, second[1], third[1]))
    for end in later:
        if _adds_up(stream, block.y, [end.value]):
            return Explanation("post-norm", (branch, end), (norm,))
    return None


def _normed_sum(
    x: Tensor, branches: list[Branch], events: list[Event], block: Block
) -> tuple[Branch, Norm, Tensor] | None:
    """The first event whose input is x + some branch, with the stream that it returns."""
    for event in events:
        for key, tensor in event.inputs.items():
            view = layout(tensor, x.shape[-1], block.frame)
            out = next(((k, t) for k, t in event.outputs.items() if t.shape == tensor.shape), None)
            if view is None or out is None:
                continue
            for branch in branches:
                if branch.event.end < event.start and _adds_up(x, view.read(tensor, block.frame), [branch.value]):
                    ports = Port(event.path, "in", key, event.call), Port(event.path, "out", out[0], event.call)
                    return branch, Norm(event, *ports, view), view.read(out[1], block.frame)
    return None


def _multiplied(block: Block, unique: list[Branch], events: list[Event]) -> Explanation | None:
    """Constant multipliers: solved for on a sample of the numbers, then checked on all."""
    x, y = block.x, block.y
    change = (y.double() - x.double()).flatten()
    sample = torch.linspace(0, len(change) - 1, min(256, len(change))).long()
    values = {id(p): p.value.double().flatten() for p in unique}
    for n in (1, 2, 3):
        for parts in combinations(unique, n):
            columns = torch.stack([values[id(p)][sample] for p in parts], 1)
            solved = torch.linalg.lstsq(columns, change[sample, None]).solution[:, 0]
            factors = [float(f"{f:.5g}") for f in solved.tolist()]
            missed = (columns @ torch.tensor(factors).double() - change[sample]).abs().max()
            if min(map(abs, factors)) <= 1e-4 or float(missed) > 1e-3 * float(change.abs().max()):
                continue
            scaled = [p.value.double() * f for p, f in zip(parts, factors, strict=True)]
            if close(x.double() + sum(scaled), y, [x, *(s.to(x.dtype) for s in scaled)]):
                return Explanation("sequential", tuple(_times(p, f) for p, f in zip(parts, factors, strict=True)))
    return None


def _rescaled(block: Block, unique: list[Branch], numbers: Mapping[str, float]) -> Explanation | None:
    for name, number in numbers.items():
        if number not in (0.0, 1.0):
            plain = _sums(replace(block, y=block.y / number), unique, [])
            if plain is not None:
                return replace(plain, rescaled=name)
    return None


def _times(branch: Branch, factor: float) -> Branch:
    if factor == 1.0:
        return branch
    return Branch(branch.event, branch.port, branch.view.then(Scaled(factor)), branch.value * factor)


def _same_as(block: Block, found: list[Branch], hint: Explanation) -> Explanation | None:
    """The neighbour's branches at this block's paths, if they add up here too."""
    if hint.kind != "sequential" or hint.rescaled:
        return None
    parts = []
    for old in hint.branches:
        tail = old.event.path.split(".")[block.event.path.count(".") + 1 :]
        path = ".".join([block.event.path, *tail])
        match = [b for b in found if b.event.path == path and b.port.key == old.port.key]
        if not match or len(old.view.steps) != len(match[-1].view.steps):
            return None
        parts.append(match[-1])
    return Explanation("sequential", tuple(parts)) if _adds_up(block.x, block.y, [p.value for p in parts]) else None
