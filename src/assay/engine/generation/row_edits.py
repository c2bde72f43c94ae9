"""Edits of many variants in one pass of a generation: every row of the batch is one variant of one example.

Variants that add, scale, zero or set at the same places are done in one call, each with its own vector or factor.
Everything else goes through the very functions of one-by-one generation, on the rows of one variant at a time. A row's
numbers never depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.changes import bind
from assay.engine.hooks import Action, Change
from assay.engine.runner import Runner
from assay.engine.select import Scope, edit_parts, position_axis
from assay.experiments.edits import PLACES, Edit
from assay.experiments.given_edits import Add, Scale, Set, Zero
from assay.experiments.sourced_edits import Mean
from assay.models.network import Network
from assay.models.structure import Site

Placed = tuple[int, Edit, Site]
"""An edit with its number in its variant, at one of its sites."""


def placed(network: Network, edits: Sequence[Edit]) -> tuple[Placed, ...]:
    """Edits at each of their sites, in order; an edit without a layer is at every layer that has its site."""
    return tuple((number, edit, site) for number, edit in enumerate(edits) for site in network.sites_named(edit.site))


@dataclass
class RowEdits:
    """The edits of variants, and the rows of the pass under way, which whoever runs the passes keeps up to date.

    `rows` are (variant, example within the group) in order of the batch; a row of variant None is not edited. Where
    fewer rows have reached a site, they are the first ones.
    """

    runner: Runner
    variants: Sequence[Sequence[Placed]]
    scope: Scope
    rows: list[tuple[int | None, int]] = field(default_factory=list)
    _given: dict[Any, Tensor] = field(default_factory=dict)

    def actions(self) -> list[Action]:
        """One action for each site and each edit's number, for all variants that have it there."""
        found: dict[tuple[int, Site], dict[int, Edit]] = {}
        for variant, edits in enumerate(self.variants):
            for number, edit, site in edits:
                found.setdefault((number, site), {})[variant] = edit
        ordered = sorted(found.items(), key=lambda item: item[0][0])
        return [Action(site, change=self._at(site, edits)) for (_, site), edits in ordered]

    def _at(self, site: Site, edits: Mapping[int, Edit]) -> Change:
        keys = {variant: _key(edit) or ("one", variant) for variant, edit in edits.items()}

        def change(value: Tensor) -> Tensor:
            if value.shape[0] > len(self.rows):
                raise ExperimentError(f"{site} has {value.shape[0]} rows in a batch of {len(self.rows)}.")
            groups: dict[Any, list[tuple[int, int, Edit]]] = {}
            for row, (variant, example) in enumerate(self.rows[: value.shape[0]]):
                edit = None if variant is None else edits.get(variant)
                if variant is not None and edit is not None and not _asleep(edit, site, self.scope):
                    groups.setdefault(keys[variant], []).append((row, example, edit))
            for key, members in groups.items():
                value = self._changed(value, site, members, together=key[0] != "one")
            return value

        return change

    def _changed(
        self, value: Tensor, site: Site, members: Sequence[tuple[int, int, Edit]], *, together: bool
    ) -> Tensor:
        """`value` with some of its rows changed; the very tensor where nothing is."""
        rows = [row for row, _, _ in members]
        whole = rows == list(range(value.shape[0]))
        index = torch.tensor(rows, device=value.device)
        old = value if whole else value.index_select(0, index)
        scope = replace(self.scope, rows=tuple(self.scope.rows[example] for _, example, _ in members))
        if together:
            new = self._together(old, site, [edit for _, _, edit in members], scope)
        else:
            new = bind(members[0][2], site, scope, self.runner)(old)
        if new is old:
            return value
        return new if whole else value.index_copy(0, index, new.to(value.dtype))

    def _together(self, value: Tensor, site: Site, edits: Sequence[Edit], scope: Scope) -> Tensor:
        """Edits of one kind at the same places, one for each row."""
        for part in edit_parts(edits[0], site.axes, value.shape, scope):
            old = part.get(value)
            new = TOGETHER[edits[0].op](self, [edits[b] for b in part.batch], old)
            value = part.put(value, new)
        return value

    def vectors(self, edits: Sequence[Edit], like: Tensor, make: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """One vector for each row, [row, 1, …, width], made as one-by-one generation makes it."""
        found = []
        for edit in edits:
            key = (id(edit), like.dtype, like.device, like.shape[-1])
            if key not in self._given:
                self._given[key] = make(edit, like).expand(like.shape[-1])
            found.append(self._given[key])
        stacked = torch.stack(found)
        return stacked.reshape(len(edits), *[1] * (like.ndim - 2), like.shape[-1])


def _added(edit: Add, like: Tensor) -> Tensor:
    return edit.scale * edit.vector.tensor.to(like)


def _set(edit: Set, like: Tensor) -> Tensor:
    assert edit.value is not None
    return like.new_full((), edit.value) if isinstance(edit.value, float) else edit.value.tensor.to(like)


def _factors(edits: Sequence[Edit], like: Tensor) -> Tensor:
    """One factor for each row; in half precision as wide as torch takes a plain number."""
    wide = torch.promote_types(like.dtype, torch.float32)
    numbers = [edit.factor for edit in edits if isinstance(edit, Scale)]
    return torch.tensor(numbers, dtype=wide, device=like.device).reshape(-1, *[1] * (like.ndim - 1))


TOGETHER: dict[str, Callable[[RowEdits, Sequence[Any], Tensor], Tensor]] = {
    "add": lambda rows, edits, old: old + rows.vectors(edits, old, _added),
    "set": lambda rows, edits, old: rows.vectors(edits, old, _set).expand_as(old),
    "scale": lambda rows, edits, old: (old * _factors(edits, old)).to(old.dtype),
    "zero": lambda rows, edits, old: torch.zeros_like(old),
}


def _key(edit: Edit) -> tuple[Any, ...] | None:
    """Edits with the same key are done in one call; None for those that are not."""
    match edit:
        case Add():
            fits = len(edit.vector.shape) <= 1
        case Set():
            fits = isinstance(edit.value, float) or (edit.value is not None and len(edit.value.shape) <= 1)
        case Scale():
            fits = edit.factor is not None
        case Zero():
            fits = True
        case _:
            fits = False
    return (edit.op, *(getattr(edit, name) for name in PLACES)) if fits else None


def _asleep(edit: Edit, site: Site, scope: Scope) -> bool:
    """Whether an edit of positions of the prompt, or from a source, has no place in a pass over new tokens."""
    if scope.offset < scope.prompt or position_axis(site.axes) is None:
        return False
    sourced = edit.per_position if isinstance(edit, Mean) else edit.source_run is not None
    return edit.pos is not None or sourced
