"""The passes over the prompts of a group, shared between variants as far as their edits allow.

Three parts, each exact and each to be switched off by name: positions before the first edited one are run once for each
prompt and their keys and values repeated ("position"); in the pass over the rest, variants join at the block where they
depart ("depth"); variants that edit only what is generated share the whole pass ("prompt").
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.engine.generation.departure import FRONT, Departure
from assay.engine.generation.joining import Joining, RowAxes
from assay.engine.generation.passes import (
    Arguments,
    State,
    Work,
    advance,
    agree,
    caches,
    copied,
    reorder,
    selected,
    slides,
)
from assay.engine.generation.row_edits import RowEdits
from assay.engine.hooks import Tapping
from assay.models.chain import Chain
from assay.models.network import Network

PARTS = ("position", "depth", "prompt")
"""What can be shared of the passes over prompts."""


@dataclass
class PromptPasses:
    """Makes the first states of variants, for the prompts of one group. `parts` says what is shared."""

    network: Network
    native: nn.Module
    ids: Tensor
    arguments: Arguments
    chain: Chain | None
    axes: RowAxes
    parts: frozenset[str]
    work: Work
    depth: int
    """Layers of the model."""
    left_out: dict[str, str]
    """Parts that turned out not to hold, and why: filled in."""
    _unedited: State | None = field(default=None, init=False)
    _before: _Before | None = field(default=None, init=False)

    @property
    def examples(self) -> int:
        """Prompts in the group."""
        return self.ids.shape[0]

    def unedited(self) -> State:
        """The state after the unedited prompts, a row for each; made once."""
        if self._unedited is None:
            logits, after = advance(self.native, self.ids, copied(self.arguments), new=None, first=True)
            self._count(self.examples, self.ids.shape[1])
            self._unedited = State(self.ids, after, logits)
        return self._unedited

    def edited(self, edits: RowEdits, departures: Mapping[int, Departure]) -> State:
        """The state after the prompts, a row for each variant of `departures` and each example, variants in their order.

        Enters the edits' own tapping for the pass.
        """
        if all(d.position is None for d in departures.values()):
            return self.unedited().select([e for _ in departures for e in range(self.examples)], copy=True)
        first = min(d.position for d in departures.values() if d.position is not None)
        before = self._until(first if "position" in self.parts and "position" not in self.left_out else 0)
        chain = self.chain if "depth" in self.parts and self._by_layer(before) else None
        plan = _plan(departures, self.examples, chain)
        return self._pass(edits, plan, before)

    def _until(self, position: int) -> _Before:
        """The unedited tokens before a position."""
        if position == 0:
            return _Before(0, self.arguments)
        if self._before is None or self._before.tokens != position:
            given = copied(self.arguments)
            places = given.get("position_ids")
            if isinstance(places, Tensor):
                given["position_ids"] = places[..., :position]
            _, after = advance(self.native, self.ids[:, :position], given, new=None, first=True)
            self._count(self.examples, position)
            self._before = _Before(position, {**self.arguments, **caches(after)})
            if slides(self._before.arguments, position) and not self._goes_on(self._before):
                self.left_out["position"] = "it goes on wrongly from a prompt longer than its sliding window"
                self._before = _Before(0, self.arguments)
        return self._before

    def _goes_on(self, before: _Before) -> bool:
        """Whether the unedited prompts end as they should when they are run in two parts; tried once for each model."""
        if self.native not in _goes_on:
            whole, tokens = self.unedited().logits, self.ids.shape[1] - before.tokens
            parted, _ = advance(self.native, self.ids, copied(before.arguments), new=tokens, first=True)
            self._count(self.examples, tokens)
            _goes_on[self.native] = agree(parted, whole)
        return _goes_on[self.native]

    def _by_layer(self, before: _Before) -> bool:
        """Whether the cache has one entry for each block, so that each can have its own number of rows."""
        found = list(caches(before.arguments).values())
        return self.chain is not None and len(found) == 1 and len(getattr(found[0], "layers", ())) == len(self.chain)

    def _pass(self, edits: RowEdits, plan: _Plan, before: _Before) -> State:
        shared, tokens, arguments = before.tokens, self.ids.shape[1] - before.tokens, copied(before.arguments)
        inputs = torch.tensor(plan.examples[: plan.inputs], device=self.ids.device)
        for cache in caches(arguments).values() if shared else ():
            if plan.joins:
                for layer, rows in zip(cache.layers, plan.counts, strict=False):
                    reorder(layer, torch.tensor(plan.examples[:rows], device=self.ids.device))
            else:
                reorder(cache, inputs)
        arguments = selected(arguments, inputs, self.examples)
        edits.rows = list(plan.rows)
        edits.scope = replace(edits.scope, offset=shared, tokens=tokens)
        joining = None
        with ExitStack() as stack:
            if plan.joins and self.chain is not None:
                like = [*range(plan.inputs), *plan.examples[plan.inputs :]]
                joining = Joining(self.network, self.chain, like, plan.counts, plan.inputs, tokens, self.axes)
                stack.enter_context(joining.hooked())
            tapping = stack.enter_context(Tapping(self.network, edits.actions()))
            if joining is not None:
                joining.tapping = tapping
            logits, after = advance(
                self.native, self.ids[inputs], arguments, new=tokens if shared else None, first=True
            )
        if joining is None:
            self._count(plan.inputs, tokens)
        else:
            self.work.add(len(plan.rows), joining.token_layers)
        return self._state(plan, logits, after)

    def _state(self, plan: _Plan, logits: Tensor, after: Arguments) -> State:
        """The rows that were asked for. One that joined late has the keys and values of its prompt's unedited row."""

        def index(rows: int) -> Tensor:
            return torch.tensor([r if r < rows else plan.examples[r] for r in plan.wanted], device=self.ids.device)

        for cache in caches(after).values():
            if plan.joins:
                for layer, rows in zip(cache.layers, plan.counts, strict=False):
                    reorder(layer, index(rows))
            elif plan.wanted != list(range(plan.inputs)):
                reorder(cache, index(plan.inputs))
        examples = torch.tensor([plan.examples[r] for r in plan.wanted], device=self.ids.device)
        arguments = selected(after, index(plan.inputs), plan.inputs)
        return State(self.ids[examples], arguments, logits[index(len(plan.rows)).to(logits.device)])

    def _count(self, rows: int, tokens: int) -> None:
        self.work.add(rows, rows * tokens * self.depth)


_goes_on: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Models whose cache has let go of tokens outside a sliding window: whether they go on from there as they should."""


@dataclass(frozen=True)
class _Before:
    """Native arguments after the first unedited tokens, a row for each example."""

    tokens: int
    arguments: Arguments


@dataclass(frozen=True)
class _Plan:
    """The rows of one pass: first unedited ones, if any are needed, then those from the front, then who joins."""

    rows: list[tuple[int | None, int]]
    examples: list[int]
    """The example of each row, which is also the number of the unedited row that one who joins is a copy of."""
    counts: list[int]
    """Rows that are there at each block, and after the last."""
    inputs: int
    wanted: list[int]
    """The row of each variant and example; several variants that the prompt is the same to have the same."""

    @property
    def joins(self) -> bool:
        """Whether any row joins on the way."""
        return self.inputs < len(self.rows)


def _plan(departures: Mapping[int, Departure], examples: int, chain: Chain | None) -> _Plan:
    """Rows join on the way where that saves more blocks than the unedited rows cost."""
    blocks = {v: d.block for v, d in departures.items() if d.position is not None}
    unedited = len(blocks) < len(departures)
    saved = sum(max(block, 0) for block in blocks.values())
    if chain is None or saved <= (0 if unedited else len(chain)):
        blocks = dict.fromkeys(blocks, FRONT)
    ordered = sorted(blocks, key=lambda v: blocks[v])
    spare = examples if unedited or any(block > FRONT for block in blocks.values()) else 0
    rows: list[tuple[int | None, int]] = [(None, e) for e in range(spare)]
    rows += [(v, e) for v in ordered for e in range(examples)]
    begin = [FRONT] * spare + [blocks[v] for v in ordered for _ in range(examples)]
    number = {row: i for i, row in enumerate(rows)}
    wanted = [number[v if v in blocks else None, e] for v in departures for e in range(examples)]
    counts = [sum(b <= n for b in begin) for n in range((len(chain) if chain is not None else 0) + 1)]
    return _Plan(rows, [e for _, e in rows], counts, sum(b == FRONT for b in begin), wanted)
