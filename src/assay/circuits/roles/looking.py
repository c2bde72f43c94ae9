"""Where heads look: at the token before, at an earlier mention, at what followed it, at the answer.

Each value is an attention probability, averaged over the positions that the test is about, with a control of the same kind:

    previous token    to the token before; control: to the one before that
    duplicate token   from a repeated token to its first mention; control: to the other earlier positions, on average
    induction         from a repeated token to the position after its first mention; control: as before
    answer            from the last position to the answer's token; control: to the wrong answer's, or to other earlier ones

The first position is in no control: heads that do nothing look there. On random tokens a piece of the sequence comes again
after a random gap, so that a head that looks back by a fixed distance does not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.circuits.roles.deciding import HeadExample
from assay.core.errors import DataError
from assay.core.seeds import child_seed
from assay.data.pairs import Pairs
from assay.data.vocabulary import special_ids
from assay.engine.model import Model
from assay.experiments import capture

BATCH = 8
Tokens = Sequence[Sequence[int]]
Target = Bool[np.ndarray, "query key"]
Seen = tuple[HeadExample, HeadExample]
"""Value and control."""
FIRST = 3
"""The first position from which two before is not the first token; shorter prompts tell nothing."""


def repeated(tokens: Sequence[int], at: Sequence[int] | None, *, after: int) -> Target:
    """From each repeated token (or from those at some positions) to where it stood first, or `after` positions later."""
    found = np.zeros((len(tokens), len(tokens)), dtype=bool)
    for query in range(len(tokens)) if at is None else at:
        first = list(tokens).index(tokens[query])
        if first < query and first + after < query:
            found[query, first + after] = True
    return found


def looked(model: Model, prompts: Tokens, heads: Sequence[tuple[int, int]], *, target: Callable[[int], Target]) -> Seen:
    """Attention to the target of each prompt, and on average to other earlier positions: [head, example]."""

    def one(row: int, pattern: Tensor) -> tuple[np.ndarray, np.ndarray]:
        wanted = target(row)
        if not wanted.any():
            nothing = np.full(len(heads), np.nan)
            return nothing, nothing
        queries = wanted.any(1)
        there = pattern.double().numpy()[:, queries]
        others = np.tril(np.ones_like(wanted))[queries] & ~wanted[queries]
        others[:, 0] = False
        others[np.arange(len(others)), np.flatnonzero(queries)] = False  # its own position
        value = (there * wanted[queries]).sum(-1).mean(-1)
        count = np.maximum(others.sum(-1), 1)
        return value, ((there * others).sum(-1) / count).mean(-1)

    return _each(model, prompts, heads, one)


def looked_back(model: Model, prompts: Tokens, heads: Sequence[tuple[int, int]]) -> Seen:
    """Attention to the token before, and to the one before that."""

    def one(row: int, pattern: Tensor) -> tuple[np.ndarray, np.ndarray]:
        if pattern.shape[1] <= FIRST:
            nothing = np.full(len(heads), np.nan)
            return nothing, nothing
        back = [
            pattern.diagonal(-distance, 1, 2)[:, FIRST - distance :].double().mean(-1).numpy() for distance in (1, 2)
        ]
        return back[0], back[1]

    return _each(model, prompts, heads, one)


def looked_at_answer(model: Model, pairs: Pairs, heads: Sequence[tuple[int, int]], *, source: str | None) -> Seen:
    """Attention from the last position to the answer's token (or to a named position), and to the wrong answer's."""
    places, wrong = answer_places(pairs, source), wrong_places(pairs)

    def one(row: int, pattern: Tensor) -> tuple[np.ndarray, np.ndarray]:
        if not places[row]:
            nothing = np.full(len(heads), np.nan)
            return nothing, nothing
        last = pattern[:, -1].double().numpy()
        others = wrong[row] or [p for p in range(1, last.shape[1] - 1) if p not in places[row]]
        control = last[:, others].sum(-1) if wrong[row] else last[:, others].mean(-1)
        return last[:, places[row]].sum(-1), control

    return _each(model, [each.clean for each in pairs.aligned_tokens()], heads, one)


def answer_places(pairs: Pairs, source: str | None) -> list[list[int]]:
    """Where the answer's token stands in each clean prompt; with `source`, that position."""
    if source is not None:
        return [[place] for place in pairs.position(source)]
    answers = pairs.answer_ids.tolist()
    return [_where(each.clean, answer) for each, answer in zip(pairs.aligned_tokens(), answers, strict=True)]


def wrong_places(pairs: Pairs) -> list[list[int]]:
    """Where the wrong answer's token stands in each clean prompt; if it is not in it, tokens that stand there twice."""
    found = []
    for each, answer, wrong in zip(
        pairs.aligned_tokens(), pairs.answer_ids.tolist(), pairs.wrong_ids.tolist(), strict=True
    ):
        twice = [
            place for place, token in enumerate(each.clean[:-1]) if each.clean.count(token) > 1 and token != answer
        ]
        found.append(_where(each.clean, wrong) or twice)
    return found


def random_prompts(model: Model, pairs: Pairs, *, length: int, seed: int) -> list[list[int]]:
    """As many prompts of random tokens as there are pairs; a piece of each comes again after a random gap.

    They begin as the pairs do, if those all begin alike. Raises DataError if there are too few tokens to draw from.
    """
    firsts = {each.clean[0] for each in pairs.aligned_tokens()}
    lead = list(firsts) if len(firsts) == 1 else []
    special = set() if model.tokenizer is None else set(special_ids(model.tokenizer))
    pool = [token for token in range(model.site("logits").sizes["vocab"]) if token not in special and token not in lead]
    body, rng = length - len(lead), np.random.default_rng(child_seed(seed, "random prompts"))
    piece = max(2, body // 4)
    if body < 3 * piece or len(pool) < body - piece:
        raise DataError(
            f"random_length={length}: at least 7 positions and {body - piece} different tokens are needed, and this model has "
            f"{len(pool)} to draw from; 0 leaves random tokens out."
        )
    found = []
    for _ in pairs:
        drawn = [pool[i] for i in rng.choice(len(pool), size=body - piece, replace=False)]
        start = int(rng.integers(0, body - 2 * piece + 1))
        again = int(rng.integers(start + piece, body - piece + 1))
        found.append([*lead, *drawn[:again], *drawn[start : start + piece], *drawn[again:]])
    return found


def patterns(model: Model, prompts: Tokens, layers: Sequence[int]) -> Iterator[tuple[list[int], dict[int, Tensor]]]:
    """Attention patterns of prompts of one length at a time: which rows, and by layer [row, head, query, key]."""
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    for rows in by_length.values():
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            run = model.run(
                [list(prompts[row]) for row in some], capture=[capture.site(f"L{n}.pattern") for n in layers]
            )
            yield some, {n: run[f"L{n}.pattern"].float().cpu() for n in layers}


def _each(
    model: Model,
    prompts: Tokens,
    heads: Sequence[tuple[int, int]],
    one: Callable[[int, Float[Tensor, "head query key"]], tuple[np.ndarray, np.ndarray]],
) -> Seen:
    value, control = np.full((2, len(heads), len(prompts)), np.nan)
    layers = sorted({layer for layer, _ in heads})
    for rows, found in patterns(model, prompts, layers):
        for place, row in enumerate(rows):
            value[:, row], control[:, row] = one(row, torch.stack([found[layer][place, head] for layer, head in heads]))
    return value, control


def _where(tokens: Sequence[int], token: int) -> list[int]:
    return [place for place, each in enumerate(tokens[:-1]) if each == token]
