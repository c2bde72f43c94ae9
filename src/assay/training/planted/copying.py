"""Circuits that say again what stood at the first place: a pair that cancels, a negative head, a backup head,
heads that say the same whatever stood there.

In the counterfactual another word stands there.
"""

from __future__ import annotations

import random

import torch

from assay.data.pairs import Pairs
from assay.training.planted.board import BOS, PLACES, TOKENS, board, mover, unit
from assay.training.planted.situation import Situation, example, truths_of
from assay.training.planted.weights import plant
from assay.training.planted.wiring import Head, Wiring

WORDS, LENGTH = 8, 6
STRONG = 40.0
SOURCE = 1
"""The place of the word."""


def cancelling_pair(*, seed: int = 0, n: int = 16) -> Situation:
    """One head says the word; two others say it and take it back, so that together they do nothing."""
    wiring = _copying([1.0, 1.0, -1.0])
    roles = {"L0.H0": "says the word", "L0.H1": "says the word", "L0.H2": "takes it back"}
    notes = "hand-wired; L0.H1 and L0.H2 undo each other: each alone has the whole effect, both together none"
    model = plant(wiring, seed=seed, heads=4)
    return Situation("cancelling pair", model, copying_pairs(seed, n), truths_of(wiring), notes, roles)


def negative_head(*, seed: int = 0, n: int = 16) -> Situation:
    """Copy suppression: a head looks at the word that is about to be said, and speaks against it."""
    wiring = _copying([2.0])
    words = torch.eye(WORDS)
    wiring.heads.append(
        Head(1, 0, (("out", STRONG / 2 * words),), ((TOKENS, words),), ((TOKENS, words),), (("out", -words),))
    )
    roles = {"L0.H0": "says the word", "L1.H0": "negative: speaks against what is about to be said"}
    notes = "hand-wired; without the negative head the behaviour is stronger than in the whole model"
    return Situation("negative head", plant(wiring, seed=seed), copying_pairs(seed, n), truths_of(wiring), notes, roles)


def backup_head(*, seed: int = 0, n: int = 16) -> Situation:
    """Self-repair: a later head looks at the first token, and at the word only where it has not been said yet."""
    wiring = _copying([1.0])
    words = torch.eye(WORDS)
    wiring.embed("bos", unit(BOS, WORDS + 1).T, fixed=True)
    asks = (PLACES, torch.ones(LENGTH, 1) * torch.tensor([[0.5 * STRONG, 0.25 * STRONG]]))
    silenced = ("out", torch.cat([torch.zeros(WORDS, 2), -STRONG * words], dim=1))
    offers = (
        (PLACES, torch.cat([unit(SOURCE, LENGTH).T, torch.zeros(LENGTH, 1)], dim=1)),
        ("bos", torch.tensor([[0.0, 1.0]])),
        (TOKENS, torch.cat([torch.zeros(WORDS, 2), words], dim=1)),
    )
    wiring.heads.append(Head(1, 0, (asks, silenced), offers, ((TOKENS, words),), (("out", words),)))
    repair = [
        frozenset({"L0.H0->L1.H0.q", edge})
        for edge in ("embed->L1.H0.q", "embed->L1.H0.k", "embed->L1.H0.v", "L1.H0->logits")
    ]
    repair.append(frozenset({"embed->L0.H0.v", "embed->L1.H0.v"}))
    roles = {"L0.H0": "says the word", "L1.H0": "backup: says it where it was not said"}
    notes = "hand-wired; the backup head does nothing until the first head is gone, and then all or half of its work"
    return Situation(
        "backup head", plant(wiring, seed=seed), copying_pairs(seed, n), truths_of(wiring), notes, roles,
        redundant=tuple(repair),
    )  # fmt: skip


def constant_heads(*, seed: int = 0, n: int = 16) -> Situation:
    """Heads that look at the first token and write the same everywhere, a lot of it, as parts of trained models do: it
    tells nothing, and whoever takes it for a signal is misled."""
    wiring = _copying([1.0])
    wiring.embed("bos", unit(BOS, WORDS + 1).T, fixed=True)
    random = torch.Generator().manual_seed(seed)
    for first in (1, 3):
        much = 3 * torch.randn(1, WORDS, generator=random)
        wiring.heads += [
            mover((0, first + i), BOS, length=LENGTH, value=("bos", torch.ones(1, 1)), write=("out", sign * much))
            for i, sign in enumerate((1, -1))
        ]
    roles = {"L0.H0": "says the word", **{f"L0.H{i}": "writes the same everywhere" for i in range(1, 5)}}
    notes = (
        "hand-wired; four heads write large constants, which undo each other in pairs and tell nothing of the prompt"
    )
    model = plant(wiring, seed=seed, heads=6)
    return Situation("constant heads", model, copying_pairs(seed, n), truths_of(wiring), notes, roles)


def copying_pairs(seed: int, n: int) -> Pairs:
    """Different words, and the same with another one at the first place."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        words = rng.sample(range(1, WORDS + 1), LENGTH)
        clean, corrupt = (BOS, *words[:-1]), (BOS, words[-1], *words[1:-1])
        found.append(example(clean, corrupt, answer=words[0], wrong=words[-1]))
    return Pairs(tuple(found), "copying", seed).align(None)


def _copying(strengths: list[float]) -> Wiring:
    """Heads that look at the word and say it, each with its strength."""
    wiring = board(WORDS + 1, LENGTH)
    words = torch.eye(WORDS)
    wiring.channel("out", WORDS)
    wiring.heads += [
        mover((0, i), SOURCE, length=LENGTH, value=(TOKENS, words), write=("out", strength * words))
        for i, strength in enumerate(strengths)
    ]
    wiring.unembed("out", torch.eye(WORDS + 1)[1:])
    return wiring
