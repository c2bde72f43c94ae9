"""Attention over flat rows: the one place where rows meet.

Each sequence's queries see the keys and values of the unchanged pass before its first row, and its own from there on, under
the mask of the unchanged pass. The model's own attention function computes it, so soft caps, sinks and biases stay its
own. Cost: one call for all sequences that begin at the same position, or at positions near enough that some idle queries
cost less than another call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.core.errors import AssayError
from assay.engine.schedule.base import Base
from assay.engine.schedule.rows import FlatRows


class CannotMeetError(AssayError):
    """This architecture's attention takes something that cannot be taken apart by rows."""


class Meeting:
    """Stands in for attention while flat rows pass. `layer` is the block under way."""

    def __init__(self, base: Base, rows: FlatRows) -> None:
        self.base, self.rows, self.layer = base, rows, 0

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **rest: Any
    ) -> tuple[Tensor, None]:
        """Attention for the rows under way."""
        n = self.rows.count(self.layer)
        if module not in self.base.past or query.shape[2] != n or key.shape[2] != n or query.shape[0] != 1:
            raise CannotMeetError("attention was called with other rows than those under way.")
        keys, values = (
            torch.cat([past.transpose(1, 2).flatten(0, 1).to(new), new[0].transpose(0, 1)])
            for past, new in zip(self.base.past[module], (key, value), strict=True)
        )
        queries = query[0].transpose(0, 1).contiguous()
        out: Tensor | None = None
        for group, here in self.rows.together(self.layer):
            example, end = group.example[:here], group.ends[here]
            seen = self._mask(mask, group.first, example)
            extra = {name: self._argument(a, group.first, example) for name, a in rest.items()}
            asked = _gather(queries, group.queries[:here])
            given = (_gather(keys, group.keys[:here]), _gather(values, group.keys[:here]))
            made, _ = self.base.attention(module)(module, asked, *given, seen, **extra)
            if out is None:
                out = made.new_empty(n, *made.shape[2:])
            made = made.flatten(0, 1)
            out[group.rows[:end]] = made if len(made) == end else made[group.kept[:end]]
        assert out is not None
        return out[None], None

    def _mask(self, mask: Tensor | None, first: int, example: Tensor) -> Tensor | None:
        if mask is None or mask.ndim != 4 or mask.shape[-1] != self.rows.length:
            raise CannotMeetError("attention has no mask over queries and keys.")
        mine = mask[:, :, first:]
        return mine[example] if mask.shape[0] > 1 else mine

    def _argument(self, argument: Any, first: int, example: Tensor) -> Any:
        """Another argument of attention: biases over queries and keys are cut like the mask; ids over positions go."""
        length = self.rows.length
        if not isinstance(argument, Tensor):
            return argument
        if argument.ndim == 4 and argument.shape[-2:] == (length, length):
            return argument[:, :, first:][example] if argument.shape[0] > 1 else argument[:, :, first:]
        own = isinstance(argument, nn.Parameter) or not argument.is_floating_point()
        if not own and self.rows.count(self.layer) in argument.shape:
            raise CannotMeetError("attention takes a tensor over rows besides queries, keys and values.")
        return argument


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """[row, head, d] at [sequence, position] as [sequence, head, position, d]."""
    found = rows.flatten(1).index_select(0, index.flatten().to(rows.device))
    return found.view(*index.shape, *rows.shape[1:]).transpose(1, 2)
