"""Edits of many variants on the rows of one batch.

Where variants do the same with other coordinates (a sweep of patches), all are done in one indexed write. Everything else
is done by the very functions of the naive engine, on the rows of one variant at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.engine.changes import OPERATIONS, Sources, Where, parts_of
from assay.engine.schedule.departures import same_places
from assay.engine.schedule.rows import Rows
from assay.engine.select import Scope, edited_examples, position_axis
from assay.experiments.edits import Edit
from assay.experiments.positions import resolve_indices
from assay.experiments.sourced_edits import Freeze, Patch
from assay.models.structure import Site

Numbered = tuple[int, Edit]
"""A variant's number within the batch, and its edit."""


@dataclass(frozen=True)
class Batch:
    """What edits need to know of a batch: its rows, its examples, and where other runs' values are."""

    rows: Rows
    scope: Scope
    sources: Callable[[int], Sources]
    """The values that a variant sees."""
    shared: frozenset[str]
    """Runs that are the same for all variants."""

    def sequences(self, variant: int) -> Mapping[int, int]:
        """A variant's sequences by example."""
        return self._by_variant().get(variant, {})

    def _by_variant(self) -> Mapping[int, Mapping[int, int]]:
        made: dict[int, dict[int, int]] | None = self.__dict__.get("_made")
        if made is None:
            made = {}
            s = self.rows.sequences
            for number, (v, e) in enumerate(zip(s.variant, s.example, strict=True)):
                made.setdefault(v, {})[e] = number
            self.__dict__["_made"] = made
        return made


def change_at(site: Site, edits: Sequence[Numbered], batch: Batch) -> Callable[[Tensor], Tensor]:
    """One change of a site for all variants that edit it."""
    together: dict[tuple[Any, ...], list[Numbered]] = {}
    alone: list[Numbered] = []
    for variant, edit in edits:
        key = _joint_key(edit, site, batch)
        (alone if key is None else together.setdefault(key, [])).append((variant, edit))

    def change(value: Tensor) -> Tensor:
        for group in together.values():
            value = _patch_all(value, site, group, batch)
        for variant, edit in alone:
            value = _one(value, site, variant, edit, batch)
        return value

    return change


def _joint_key(edit: Edit, site: Site, batch: Batch) -> tuple[Any, ...] | None:
    """Edits with the same key can be done in one write."""
    if not isinstance(edit, Patch | Freeze) or position_axis(site.axes) != 1 or edit.dims is not None:
        return None
    if isinstance(edit, Patch) and (edit.source_site is not None or edit.source_pos is not None):
        return None
    if edit.source not in batch.shared or not same_places(edit, batch.scope, batch.sources(0).scope_of(edit.source)):
        return None
    head = tuple(edit.head) if isinstance(edit.head, list | tuple) else edit.head
    return (edit.source, head) if isinstance(head, int | tuple | None) else None


def _patch_all(value: Tensor, site: Site, edits: Sequence[Numbered], batch: Batch) -> Tensor:
    first = edits[0][1]
    assert isinstance(first, Patch | Freeze)
    given = batch.sources(0).value(first.source, site).to(value)
    sequence, example, position = [], [], []
    for variant, edit in edits:
        for e, s in batch.sequences(variant).items():
            row = batch.scope.rows[e]
            if edit.examples is not None and row not in edited_examples(edit, batch.scope):
                continue
            begin = batch.rows.sequences.first[s]
            for p in batch.scope.positions(edit.pos, row, given.shape[1], edit.step):
                if p >= begin:
                    sequence.append(s)
                    example.append(e)
                    position.append(p)
    at = torch.tensor(position, dtype=torch.long)
    where = batch.rows.index(torch.tensor(sequence, dtype=torch.long), at)
    source = (torch.tensor(example, dtype=torch.long), at)
    if first.head is None:
        return value.index_put(where, given[source])
    heads = torch.tensor(resolve_indices(first.head, size=value.shape[2], axis="head"))
    return value.index_put((*(i[:, None] for i in where), heads), given[(*(i[:, None] for i in source), heads)])


def _one(value: Tensor, site: Site, variant: int, edit: Edit, batch: Batch) -> Tensor:
    """One variant's edit, by the naive engine's own operation. It sees a tensor of the shape that it would have there."""
    examples = len(batch.scope.rows)
    by_position = position_axis(site.axes) == 1
    lead = (examples, batch.scope.tokens) if by_position else (examples,)
    like = value.new_zeros(()).expand(*lead, *value.shape[len(lead) :])
    sequences = batch.sequences(variant)
    lookup = torch.tensor([sequences.get(e, -1) for e in range(examples)])
    for number, part in enumerate(parts_of(edit, site, like, batch.scope)):
        where = Where(part, number, site, like, batch.scope, batch.sources(variant))
        place = _Place.of(part.index, lead, lookup, batch.rows)
        new = OPERATIONS[edit.op](edit, value[place.index], where)
        value = place.put(value, new)
    return value


@dataclass(frozen=True)
class _Place:
    """A part of a variant's tensor within a batch. Entries that are not under way are read from elsewhere, and dropped
    when written."""

    index: tuple[Tensor, ...]
    live: Tensor

    @classmethod
    def of(cls, index: tuple[Tensor, ...] | None, lead: tuple[int, ...], lookup: Tensor, rows: Rows) -> _Place:
        n = len(lead)
        if index is None:
            index = tuple(
                torch.arange(size).reshape([-1 if i == j else 1 for j in range(n)]) for i, size in enumerate(lead)
            )
        sequence = lookup[index[0]]
        safe = sequence.clamp_min(0)
        if n == 1:
            return cls((safe, *index[1:]), (sequence >= 0).flatten())
        firsts = torch.tensor(rows.sequences.first)[safe]
        live = (sequence >= 0) & (index[1] >= firsts)
        mapped = rows.index(*torch.broadcast_tensors(safe, torch.maximum(index[1], firsts)))
        flat = live.reshape(live.shape[:2])
        return cls((*mapped, *index[2:]), flat)

    def put(self, value: Tensor, new: Tensor) -> Tensor:
        """`value` with what is under way replaced."""
        new = new.to(value.dtype)
        if bool(self.live.all()):
            return value.index_put(self.index, new)
        lead = self.live.ndim
        chosen = [i.expand(*self.live.shape, *i.shape[lead:])[self.live] for i in self.index]
        return value.index_put(tuple(chosen), new[self.live])
