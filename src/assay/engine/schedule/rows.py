"""Which rows a batch of variants consists of, in two layouts.

`FlatRows`: a row is one position of one variant, from the first position that may differ on; all else is read from the
unchanged pass. `WholeRows`: a row is a whole sequence. In both, variants are ordered by the block before which they
begin, so that the rows that are under way at a block are always the first so many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from assay.engine.schedule.base import Base
from assay.engine.schedule.departures import Departure
from assay.models.chain import Chain, Shape, argument_axes
from assay.models.views import Frame


@dataclass(frozen=True)
class Sequences:
    """One for each variant and example that departs, in the order of `start`."""

    variant: tuple[int, ...]
    example: tuple[int, ...]
    """The number within the group."""
    first: tuple[int, ...]
    start: tuple[int, ...]

    @classmethod
    def of(cls, departures: Sequence[Departure]) -> Sequences:
        """The sequences of a batch of variants."""
        found = [
            (d.layer, v, e, first)
            for v, d in enumerate(departures)
            for e, first in enumerate(d.first)
            if first is not None
        ]
        found.sort(key=lambda item: item[:3])
        starts, variants, examples, firsts = zip(*found, strict=True) if found else ((), (), (), ())
        return cls(variants, examples, firsts, starts)

    def __len__(self) -> int:
        return len(self.variant)

    def under_way(self, layer: int) -> int:
        """How many have begun when block `layer` is run."""
        return bisect_right(self.start, layer)


class Rows(Protocol):
    """How sequences lie in the tensors of a pass."""

    sequences: Sequences

    def count(self, layer: int) -> int:
        """Rows at block `layer`."""

    def frame(self, layer: int) -> Frame:
        """Sizes that sites are read with."""

    def begin(self, stream: Tensor, old: int, new: int) -> Tensor:
        """The residual stream [batch, pos, d] of the unchanged pass for rows `old` to `new`, as native code takes it."""

    def join(self, one: Tensor, other: Tensor) -> Tensor:
        """More rows after those that are there."""

    def argument(self, leaf: Tensor, traced: Shape, chain: Chain, rows: int) -> Tensor:
        """Another argument of a block, for these rows."""

    def index(self, sequence: Int[Tensor, "*n"], position: Int[Tensor, "*n"]) -> tuple[Tensor, ...]:
        """Where positions of sequences lie in a site's tensor read with `frame`: an index into its first two axes."""


@dataclass(frozen=True)
class Together:
    """Sequences whose attention is one call, from position `first` on. Some may begin later: what their queries before
    that give is left out.

    `queries` [sequence, position from `first` on] are rows under way; `keys` [sequence, position] count first the rows
    of the unchanged pass, example by example, then those under way. Of the call's results, flattened, `kept` are those
    of `rows`; the first `ends[n]` of them are those of the first n sequences.
    """

    first: int
    members: list[int]
    example: Int[Tensor, " sequence"]
    queries: Int[Tensor, "sequence query"]
    keys: Int[Tensor, "sequence pos"]
    kept: Int[Tensor, " row"]
    rows: Int[Tensor, " row"]
    ends: list[int]


class FlatRows:
    """One row for each position that may differ: tensors are [1, row, …].

    Sequences that begin at different positions share a call of attention where that takes at most `spare` idle queries
    for each position at which some begin: fewer, larger calls.
    """

    def __init__(self, sequences: Sequences, base: Base, batch: int, length: int, *, spare: float = 0) -> None:
        self.sequences, self.batch, self.length, self.spare = sequences, batch, length, spare
        counts = [length - first for first in sequences.first]
        self.offsets = [0]
        for n in counts:
            self.offsets.append(self.offsets[-1] + n)
        self.example = torch.tensor([e for e, n in zip(sequences.example, counts, strict=True) for _ in range(n)])
        self.position = torch.tensor([p for first in sequences.first for p in range(first, length)])
        self._shift = torch.tensor([o - f for o, f in zip(self.offsets, sequences.first, strict=False)])
        self.device = base.stream[0].device

    def count(self, layer: int) -> int:
        return self.offsets[self.sequences.under_way(layer)]

    def frame(self, layer: int) -> Frame:
        return Frame(1, self.count(layer))

    def begin(self, stream: Tensor, old: int, new: int) -> Tensor:
        return stream[self.example[old:new], self.position[old:new]][None]

    def join(self, one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one, other], dim=1)

    def argument(self, leaf: Tensor, traced: Shape, chain: Chain, rows: int) -> Tensor:
        sizes = {"batch": self.batch, "pos": self.length}
        axes = argument_axes(tuple(leaf.shape), traced, sizes, chain)
        where = [axis for axis, name in axes.items() if name == "pos"]
        if len(where) != 1:  # none, or a mask of queries and keys, which attention takes apart itself
            return leaf
        batch = next((axis for axis, name in axes.items() if name == "batch"), None)
        position = self.position[:rows].to(leaf.device)
        if batch is None:
            return leaf.index_select(where[0], position)
        front = leaf.movedim((batch, where[0]), (0, 1))
        return front[self.example[:rows].to(leaf.device), position][None].movedim((0, 1), (batch, where[0]))

    def index(self, sequence: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        row = self._shift[sequence] + position
        return (torch.zeros_like(row), row)

    def together(self, layer: int) -> Iterator[tuple[Together, int]]:
        """Sequences that attention computes in one call: each group, and how many of it are under way."""
        n = self.sequences.under_way(layer)
        for group in self._groups:
            if here := bisect_left(group.members, n):
                yield group, here

    @cached_property
    def _groups(self) -> list[Together]:
        members: dict[int, list[int]] = {}
        for s, first in enumerate(self.sequences.first):
            members.setdefault(first, []).append(s)
        joined: dict[int, list[int]] = {}
        for first in sorted(members):
            opened = next(reversed(joined), None)
            spare = None if opened is None else len(members[first]) * (first - opened)
            if opened is None or spare is None or spare > self.spare:
                joined[first] = list(members[first])
            else:
                joined[opened] += members[first]
        return [self._group(first, sorted(group)) for first, group in joined.items()]

    def _group(self, first: int, members: list[int]) -> Together:
        firsts = torch.tensor([self.sequences.first[s] for s in members])[:, None]
        example = torch.tensor([self.sequences.example[s] for s in members])
        rows = torch.tensor([self.offsets[s] for s in members])[:, None] + torch.arange(self.length) - firsts
        own = torch.arange(self.length) >= firsts
        there = example[:, None] * self.length + torch.arange(self.length)
        keys = torch.where(own, self.batch * self.length + rows, there)
        mine = own[:, first:]
        return Together(
            first,
            members,
            example,
            queries=rows[:, first:].clamp(min=0),
            keys=keys,
            kept=mine.flatten().nonzero()[:, 0],
            rows=rows[:, first:][mine],
            ends=[0, *mine.sum(1).cumsum(0).tolist()],
        )


class WholeRows:
    """One row for each sequence: tensors are [row, pos, …]."""

    def __init__(self, sequences: Sequences, base: Base, batch: int, length: int) -> None:
        self.sequences, self.batch, self.length = sequences, batch, length
        self.example = torch.tensor(sequences.example, dtype=torch.long)

    def count(self, layer: int) -> int:
        return self.sequences.under_way(layer)

    def frame(self, layer: int) -> Frame:
        return Frame(self.count(layer), self.length)

    def begin(self, stream: Tensor, old: int, new: int) -> Tensor:
        return stream[self.example[old:new]]

    def join(self, one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one, other], dim=0)

    def argument(self, leaf: Tensor, traced: Shape, chain: Chain, rows: int) -> Tensor:
        sizes = {"batch": self.batch, "pos": self.length}
        axes = argument_axes(tuple(leaf.shape), traced, sizes, chain)
        batch = next((axis for axis, name in axes.items() if name == "batch"), None)
        return leaf if batch is None else leaf.index_select(batch, self.example[:rows].to(leaf.device))

    def index(self, sequence: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        return (sequence, position)
