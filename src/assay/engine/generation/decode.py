"""Token after token for all rows of a batch; finished rows leave it.

Every row draws from a generator of its own, seeded as one-by-one generation seeds torch's, and sees no other row: so it
gets the tokens that it would get alone. Processors of scores and conditions for stopping are the native ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from assay.engine.generate import native_seed
from assay.engine.generation.passes import State, UnsuitedError, Work, advance, caches
from assay.engine.generation.row_edits import RowEdits

Row = tuple[int, int, int]
"""A variant, an example of the group, and a seed."""


@dataclass
class Written:
    """What was generated for one row: token ids, the end token included, and the model's log-probability of each."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Choice:
    """How the native `generate` chooses tokens: its processors and conditions, and whether it draws."""

    processors: Any
    stopping: Any
    sampled: bool

    def tokens(self, ids: Tensor, logits: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        """The next token of each row."""
        scores: Tensor = self.processors(ids, logits)
        if not self.sampled:
            return scores.argmax(-1)
        chances = torch.softmax(scores, -1)
        each = [torch.multinomial(row[None], 1, generator=draw)[0] for row, draw in zip(chances, draws, strict=True)]
        return torch.cat(each)


def decode(
    native: nn.Module, state: State, rows: Sequence[Row], *, edits: RowEdits, choice: Choice, work: Work, depth: int
) -> list[Written]:
    """Continue every row to its end. Call with the edits' tapping active; uses the state's cache up."""
    written = [Written() for _ in rows]
    here = list(range(len(rows)))
    device = state.logits.device
    draws = [torch.Generator(device).manual_seed(native_seed(seed)) for _, _, seed in rows]
    while True:
        logits = state.logits.float()
        chosen = choice.tokens(state.ids, logits, [draws[r] for r in here])
        given = torch.log_softmax(logits, -1).gather(-1, chosen[:, None])[:, 0]
        for r, token, logprob in zip(here, chosen.tolist(), given.tolist(), strict=True):
            written[r].tokens.append(token)
            written[r].logprobs.append(logprob)
        ids = torch.cat([state.ids, chosen[:, None].to(state.ids.device)], dim=1)
        done = choice.stopping(ids, None).tolist()
        if all(done):
            return written
        state = _staying(State(ids, state.arguments, state.logits), done)
        here = [r for r, over in zip(here, done, strict=True) if not over]
        edits.rows = [rows[r][:2] for r in here]
        edits.scope = replace(edits.scope, offset=ids.shape[1] - 1, tokens=1)
        logits, arguments = advance(native, state.ids, state.arguments, new=1)
        work.add(len(here), len(here) * depth)
        state = State(state.ids, arguments, logits)


def _staying(state: State, done: Sequence[bool]) -> State:
    """The rows that are not done."""
    if not caches(state.arguments):
        raise UnsuitedError("it keeps no cache whose rows can be told apart")
    return state.select([row for row, over in enumerate(done) if not over])
