"""Which entries of a site's tensor an edit, a capture or a metric means: positions, heads, dims, examples as indices.

Positions are absolute: in generation with a cache a pass covers only the newest ones. A selection consists of parts,
one for each number of positions that examples select, so that every part is a full rectangle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.experiments.edits import Edit
from assay.experiments.positions import Slice, resolve, resolve_indices

Index = tuple[Tensor, ...]
Positions = int | str | Sequence[int | str] | Slice | None


@dataclass(frozen=True)
class Scope:
    """The examples of a pass and the tokens that it covers."""

    rows: tuple[int, ...]
    """Which examples of the input are the batch."""
    prompt: int
    """Tokens of each prompt."""
    named: Mapping[str, Sequence[int]]
    """Named positions, one index for each example of the input."""
    offset: int = 0
    """Absolute position of the first token of this pass."""
    tokens: int = 0
    """Tokens of each example in this pass."""
    examples: int = 0
    """How many examples the input has, those outside this pass included; 0 if not known."""

    def positions(self, pos: Positions, row: int, size: int, step: object = None) -> list[int]:
        """Indices along a position axis of `size` in this pass; positions outside the pass are left out."""
        if size != self.tokens:  # an axis of its own: image patches, encoder positions
            return resolve(pos, length=size, named=self.named, example=row) if self.acts(step) else []
        end = self.offset + size
        everything = list(range(self.offset, end))
        chosen = everything if pos is None else resolve(pos, length=self.prompt, named=self.named, example=row)
        if step is not None:
            chosen = [p for p in chosen if self._in_step(p, step)]
        return [p - self.offset for p in chosen if self.offset <= p < end]

    def beside(self, here: Scope) -> Scope:
        """For places that another run of these examples, `here`, means in this one: names that it lacks are that run's."""
        named = {name: [at[row] for row in here.rows] for name, at in here.named.items()}
        named |= {name: [at[row] for row in self.rows] for name, at in self.named.items()}
        rows = tuple(range(len(self.rows)))
        return replace(self, rows=rows, named=named, examples=len(rows))

    def acts(self, step: object) -> bool:
        """Whether this pass covers a token of these steps; None is all."""
        return step is None or any(self._in_step(p, step) for p in range(self.offset, self.offset + self.tokens))

    def _in_step(self, position: int, step: object) -> bool:
        at = max(0, position - self.prompt + 1)
        if isinstance(step, Slice):
            return at in range(*slice(_number(step.start), _number(step.stop), step.step).indices(at + 1))
        return at in ([step] if isinstance(step, int) else list(step))  # type: ignore[call-overload]


@dataclass(frozen=True)
class Part:
    """One rectangle of a tensor. `index` is None for the whole tensor."""

    index: Index | None
    batch: tuple[int, ...]

    def get(self, value: Tensor) -> Tensor:
        """The selected entries, every axis kept."""
        return value if self.index is None else value[self.index]

    def put(self, value: Tensor, new: Tensor) -> Tensor:
        """`value` with the selected entries replaced; `value` is not changed, and `new` is the caller's still."""
        new = new.to(value.dtype)
        # a copy: native code may write into what it goes on with, and `new` may be another run's tensor
        return new.clone() if self.index is None else value.index_put(self.index, new)


def edit_parts(edit: Edit, axes: Sequence[str], shape: torch.Size, scope: Scope, pos: Positions = None) -> list[Part]:
    """The parts of a tensor that an edit means; `pos` overrides the edit's own positions."""
    where = edit.pos if pos is None else pos
    full = all(getattr(edit, name) is None for name in ("head", "dims", "examples", "step")) and where is None
    if full:
        return [Part(None, tuple(range(shape[0] if shape else 1)))]
    if position_axis(axes) is None and not scope.acts(edit.step):
        return []
    batch = [b for b, row in enumerate(scope.rows) if edit.examples is None or row in edited_examples(edit, scope)]
    selected = {b: _positions(where, axes, shape, scope, b, edit.step) for b in batch}
    return _rectangles(selected, axes, shape, edit)


def edited_examples(edit: Edit, scope: Scope) -> list[int]:
    """The examples of the input that an edit with `examples` means."""
    return resolve_indices(edit.examples, size=scope.examples or max(scope.rows) + 1, axis="example")


def position_axis(axes: Sequence[str]) -> int | None:
    """Which axis runs over positions: the queries, in attention."""
    return next((i for i, a in enumerate(axes) if a in ("pos", "query")), None)


def head_axis(axes: Sequence[str]) -> int | None:
    """Which axis runs over heads."""
    return next((i for i, a in enumerate(axes) if a in ("head", "kv_head")), None)


def _positions(
    pos: Positions, axes: Sequence[str], shape: torch.Size, scope: Scope, batch: int, step: object
) -> list[int]:
    axis = position_axis(axes)
    if axis is None:
        if pos is not None:
            raise ExperimentError("this site has no position axis: leave pos out.")
        return []
    return scope.positions(pos, scope.rows[batch], shape[axis], step)


def _rectangles(selected: Mapping[int, list[int]], axes: Sequence[str], shape: torch.Size, edit: Edit) -> list[Part]:
    by_count: dict[int, list[int]] = {}
    for b, positions in selected.items():
        by_count.setdefault(len(positions), []).append(b)
    parts = []
    for count, members in by_count.items():
        if count == 0 and position_axis(axes) is not None:
            continue
        lists: list[list[int]] = [list(range(n)) for n in shape]
        if (heads := head_axis(axes)) is not None:
            lists[heads] = resolve_indices(edit.head, size=shape[heads], axis="head")
        if edit.dims is not None:
            lists[-1] = resolve_indices(edit.dims, size=shape[-1], axis=axes[-1])
        parts.append(
            Part(_open_mesh(lists, members, [selected[b] for b in members], position_axis(axes)), tuple(members))
        )
    return parts


def _open_mesh(lists: list[list[int]], batch: list[int], positions: list[list[int]], axis: int | None) -> Index:
    n = len(lists)
    index = [torch.tensor(values).reshape([-1 if i == j else 1 for j in range(n)]) for i, values in enumerate(lists)]
    index[0] = torch.tensor(batch).reshape([-1] + [1] * (n - 1))
    if axis is not None:
        index[axis] = torch.tensor(positions).reshape([len(batch)] + [-1 if j == axis else 1 for j in range(1, n)])
    return tuple(index)


def _number(bound: int | str | None) -> int | None:
    return bound if isinstance(bound, int) else None
