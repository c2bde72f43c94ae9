"""One pass over the prompts in which rows join at the block where their variant departs from the unedited prompt.

The native forward runs on the unedited prompts, and on rows that are edited before the first block. At each block the
rows that begin there are added, as copies of their prompt's unedited row. So the blocks before a departure are computed
once for each prompt, not once for each variant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_unflatten

from assay.engine.hooks import Tapping
from assay.models.chain import Chain, Link, split_arguments
from assay.models.network import Network
from assay.models.ports import get_output, put_output
from assay.models.ports import put_input as put
from assay.models.views import Frame

RowAxes = Mapping[str, Sequence[int | None]]
"""For each block, by path, which axis of each of its further arguments runs over rows; None where none does."""


@dataclass
class Joining:
    """Who is there at each block. `like[r]` is the input row that row r is a copy of; rows are in order of joining."""

    network: Network
    chain: Chain
    like: Sequence[int]
    counts: Sequence[int]
    """Rows at each block, and after the last."""
    inputs: int
    """Rows of the native inputs."""
    tokens: int
    axes: RowAxes
    tapping: Tapping | None = None
    token_layers: int = field(default=0, init=False)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Let rows join in the next native pass. Enter before the tapping whose edits the rows are to meet."""
        with ExitStack() as stack:
            for number, link in enumerate(self.chain.links):
                module = self.network.modules[link.path]
                handle = module.register_forward_pre_hook(self._entering(number, link), with_kwargs=True)
                stack.callback(handle.remove)
            last = self.network.modules[self.chain.links[-1].path]
            stack.callback(last.register_forward_hook(self._after_last).remove)
            yield

    def _entering(self, number: int, link: Link) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            rows = self.counts[number]
            self.token_layers += rows * self.tokens
            self._frame(rows)
            if rows == self.inputs:
                return None
            hidden, leaves, spec = split_arguments(args, kwargs, link)
            given = [
                self._rows_of(leaf, axis, rows) if isinstance(leaf, Tensor) else leaf
                for leaf, axis in zip_longest(leaves, self.axes.get(link.path, ())[: len(leaves)])
            ]
            args, kwargs = tree_unflatten(given, spec)
            return put(args, kwargs, link.enters.key, self._joined(hidden, rows))

        return hook

    def _after_last(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        rows, key = self.counts[-1], self.chain.links[-1].leaves.key
        self._frame(rows)
        hidden = get_output(out, key)
        return None if hidden.shape[0] == rows else put_output(out, key, self._joined(hidden, rows))

    def _joined(self, hidden: Tensor, rows: int) -> Tensor:
        there = hidden.shape[0]
        if there == rows:
            return hidden
        return torch.cat([hidden, hidden[torch.tensor(self.like[there:rows], device=hidden.device)]])

    def _rows_of(self, leaf: Tensor, axis: int | None, rows: int) -> Tensor:
        if axis is None and leaf.ndim == 4 and leaf.shape[0] == self.inputs:  # a mask, which short prompts do without
            axis = 0
        index = torch.tensor(self.like[:rows], device=leaf.device)
        return leaf if axis is None else leaf.index_select(axis, index)

    def _frame(self, rows: int) -> None:
        if self.tapping is not None:
            self.tapping.pass_.frame = Frame(rows, self.tokens)


@contextmanager
def recording(network: Network, chain: Chain, found: dict[str, list[tuple[int, ...] | None]]) -> Iterator[None]:
    """Note the shapes of each block's further arguments in the passes of this context; the last pass stays."""

    def hook(link: Link) -> Any:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            _, leaves, _ = split_arguments(args, kwargs, link)
            found[link.path] = [tuple(leaf.shape) if isinstance(leaf, Tensor) else None for leaf in leaves]

        return note

    with ExitStack() as stack:
        for link in chain.links:
            module = network.modules[link.path]
            stack.callback(module.register_forward_pre_hook(hook(link), with_kwargs=True).remove)
        yield


def row_axes(
    few: Mapping[str, Sequence[tuple[int, ...] | None]], more: Mapping[str, Sequence[tuple[int, ...] | None]]
) -> RowAxes:
    """The axes that grew between two passes which differ in their number of rows."""

    def grew(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> int | None:
        if one is None or other is None or len(one) != len(other):
            return None
        return next((axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)

    return {path: [grew(a, b) for a, b in zip(shapes, more[path], strict=True)] for path, shapes in few.items()}
