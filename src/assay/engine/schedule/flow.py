"""One native forward pass for a batch of variants that begin at different blocks.

The model's own forward runs on the group's inputs; hooks exchange what enters each block: the rows that are under way, and
those that begin there, from the unchanged pass. Blocks before the first beginning return at once, and after the last block
that is asked for the pass ends. So weights are read once for all variants of a batch, and no native code is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_unflatten

from assay.engine.ends import EnoughError
from assay.engine.few_logits import few_logits
from assay.engine.hooks import Action, Tapping, alone
from assay.engine.passes import on_device
from assay.engine.schedule.base import Base
from assay.engine.schedule.meeting import Meeting
from assay.engine.schedule.rows import FlatRows, Rows
from assay.models.attention import attending, using
from assay.models.chain import Chain, Link, split_arguments
from assay.models.ends import output_key
from assay.models.network import Network
from assay.models.ports import get_output, put_input, put_output


@dataclass
class Flow:
    """A pass of rows through a chain. `last` is the last block that is needed; the chain's length for the output too."""

    network: Network
    chain: Chain
    base: Base
    rows: Rows
    actions: Sequence[Action]
    last: int
    read: tuple[Tensor, ...] | None = None
    """Which rows the output is needed for, as an index; None for all."""
    padded: bool = False
    """Fill the rows that are read up to whole sequences."""
    named: Tensor | None = None
    """The tokens whose logits are needed; None for all."""
    tokens: list[int] = field(default_factory=list)
    """Tokens that each block computed."""
    output: Tensor | None = None
    _live: int = 0
    _held: Tensor | None = None

    def run(self) -> Tensor | None:
        """Run it. Gives the model's main output for the rows that were to be read, [row, vocab] where `read` is given."""
        with ExitStack() as stack:
            stack.enter_context(alone(self.network))
            stack.enter_context(using(self.network.holders, self.network.structure.implementation))
            self.meeting = Meeting(self.base, self.rows) if isinstance(self.rows, FlatRows) else None
            if self.meeting is not None:
                stack.enter_context(attending(self.meeting))
            elif not self.base.eager:
                stack.enter_context(attending(self._attend))
            self.tapping = Tapping(self.network, self.actions)
            stack.enter_context(_skipping(self._before(), self.base.arity))
            for number, link in enumerate(self.chain.links):
                module = self.network.modules[link.path]
                handle = module.register_forward_pre_hook(self._entering(number, link), with_kwargs=True)
                stack.callback(handle.remove)
            final = self.network.modules[self.chain.links[-1].path]
            stack.callback(final.register_forward_hook(self._growing()).remove)
            stack.enter_context(self.tapping)
            stack.callback(final.register_forward_hook(self._narrowing()).remove)
            if self.last < len(self.chain):
                module = self.network.modules[self.chain.links[self.last].path]
                stack.callback(module.register_forward_hook(_enough).remove)
            with torch.no_grad(), few_logits(self.network, self.named):
                try:
                    out = self.network.native(**on_device(self.network, self.base.inputs))
                except EnoughError:
                    return None
        found = get_output(out, output_key(out))
        if self.read is None or not isinstance(found, Tensor):
            return found if isinstance(found, Tensor) else None
        return found.reshape(-1, found.shape[-1])[: len(self.read[0])]

    def _attend(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Attention over whole sequences: in the model's own kernel."""
        return self.base.attention(module)(module, *args, **kwargs)

    def _before(self) -> dict[nn.Module, Link]:
        """Blocks that no row has reached."""
        return {
            self.network.modules[link.path]: link
            for number, link in enumerate(self.chain.links)
            if self.rows.count(number) == 0
        }

    def _entering(self, number: int, link: Link) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            rows = self.rows.count(number)
            if rows == 0:
                return None
            hidden, leaves, spec = split_arguments(args, kwargs, link)
            state = self._grown(hidden, self.base.stream[number], rows)
            self._live = rows
            self.tokens.append(state.shape[0] * state.shape[1])
            self.tapping.pass_.frame = self.rows.frame(number)
            if self.meeting is not None:
                self.meeting.layer = number
            given = [
                self.rows.argument(leaf, shape, self.chain, rows) if isinstance(leaf, Tensor) else leaf
                for leaf, shape in zip(leaves, link.shapes, strict=True)
            ]
            args, kwargs = tree_unflatten(given, spec)
            return put_input(args, kwargs, link.enters.key, state)

        return hook

    def _grown(self, hidden: Tensor, stream: Tensor, rows: int) -> Tensor:
        """The rows under way, with those that begin here after them."""
        if self._live == 0:
            return self.rows.begin(stream, 0, rows)
        if rows == self._live:
            return hidden
        return self.rows.join(hidden, self.rows.begin(stream, self._live, rows))

    def _growing(self) -> Any:
        """After the last block: rows whose first change comes only here."""
        link, n = self.chain.links[-1], len(self.chain)

        def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
            rows = self.rows.count(n)
            hidden = get_output(out, link.leaves.key)
            state = self._grown(hidden, self.base.stream[n], rows)
            self.tapping.pass_.frame = self.rows.frame(n)
            return put_output(out, link.leaves.key, state)

        return hook

    def _narrowing(self) -> Any:
        link = self.chain.links[-1]

        def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
            if self.read is None:
                return None
            state = get_output(out, link.leaves.key)[self.read][None]
            if self.padded and (spare := -state.shape[1] % self.base.stream[0].shape[1]):
                state = torch.cat([state, state[:, :1].expand(-1, spare, -1)], dim=1)
            return put_output(out, link.leaves.key, state)

        return hook


def _enough(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
    raise EnoughError


@contextmanager
def _skipping(modules: Mapping[nn.Module, Link], arity: Mapping[nn.Module, int]) -> Iterator[None]:
    """Let blocks that no row has reached hand on what they are given."""

    def through(module: nn.Module, link: Link) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            hidden, _, _ = split_arguments(args, kwargs, link)
            if module not in arity:
                return hidden
            out = [None] * arity[module]
            return put_output(tuple(out), link.leaves.key, hidden)

        return forward

    before = {module: module.__dict__.get("forward") for module in modules}  # accelerate puts one of its own there
    try:
        for module, link in modules.items():
            module.forward = through(module, link)
        yield
    finally:
        for module, own in before.items():
            if own is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = own
