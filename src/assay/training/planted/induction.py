"""Induction: `… A B … A` is followed by `B`. A previous-token head, and an induction head that matches on what it wrote.

The induction head's scores are multiplied by a gain. The larger it is, the nearer to 0 and 1 its pattern, and the smaller
the gradient through it; what the edges into its query and key really do is the same or more. Spare heads add a little to
the logits (`background`), as everything does in trained models: below that, an edge's score is lost.
"""

from __future__ import annotations

import random

import torch

from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.training.planted.board import BOS, PLACES, SHARPNESS, TOKENS, board
from assay.training.planted.situation import Situation, example, truths_of
from assay.training.planted.weights import plant
from assay.training.planted.wiring import Head

GAINS = (1.0, 3.0, 10.0, 30.0)
WORDS, LENGTH = 10, 8
BACKGROUND = 0.02
MATCH = 2.0
"""The score of a match at gain 1, 0 being that of all else: half of attention is then on it."""
ROLES = {"L0.H0": "previous token", "L1.H0": "induction"}


def induction(gain: float, *, seed: int = 0, n: int = 16) -> Situation:
    """The circuit with its QK logits multiplied by `gain`."""
    wiring = board(WORDS + 1, LENGTH)
    words = torch.eye(WORDS)
    before = torch.eye(LENGTH).roll(-1, dims=1)  # query at p, key at p − 1
    before[0] = 0
    wiring.channel("previous", WORDS)
    wiring.channel("out", WORDS)
    previous = ((PLACES, SHARPNESS * before),), ((PLACES, torch.eye(LENGTH)),)
    wiring.heads.append(Head(0, 0, *previous, ((TOKENS, words),), (("previous", words),)))
    wiring.heads.append(
        Head(1, 0, ((TOKENS, MATCH * gain * words),), (("previous", words),), ((TOKENS, words),), (("out", words),))
    )
    wiring.unembed("out", torch.eye(WORDS + 1)[1:])
    model = plant(wiring, seed=seed, heads=4, background=BACKGROUND)
    notes = f"hand-wired; scores of the induction head × {gain:g}; spare heads have small effects of their own"
    return Situation(
        f"induction, gain {gain:g}", model, induction_pairs(seed, n), truths_of(wiring), notes, ROLES, tolerance=0.2
    )


def induction_pairs(seed: int, n: int) -> Pairs:
    """Different words, of which one comes again at the end; in the counterfactual it was somewhere else."""
    rng = random.Random(seed)
    found: list[Example] = []
    while len(found) < n:
        (clean, answer, place), (corrupt, wrong, other) = _prompt(rng), _prompt(rng)
        if answer != wrong and place != other:
            found.append(example(clean, corrupt, answer=answer, wrong=wrong))
    return Pairs(tuple(found), "induction", seed).align(None)


def _prompt(rng: random.Random) -> tuple[tuple[int, ...], int, int]:
    words = rng.sample(range(1, WORDS + 1), LENGTH - 2)
    place = rng.randrange(LENGTH - 3)
    return (BOS, *words, words[place]), words[place + 1], place
