"""Circuits that say yes or no: either of two heads is enough (OR), all three are needed (AND), two paths nearly cancel.

A prompt is a yes where the signal token stands at the places that are looked at; its counterfactual has another token in
each. Replacing one part of a yes by what it is in the counterfactual then takes one signal away, so single replacements show
nothing of the OR, and any of them all of the AND. (From no to yes it is the other way round: Heimersheim & Nanda 2024,
arXiv:2404.15255.)
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from assay.data.pairs import Pairs
from assay.training.planted.board import BOS, TOKENS, board, mover, unit
from assay.training.planted.situation import Situation, example, truths_of
from assay.training.planted.weights import plant
from assay.training.planted.wiring import Neurons, Port, Wiring

SIGNAL, YES, NO, FIRST_WORD, VOCABULARY = 1, 2, 3, 4, 10
LENGTH = 6
ENOUGH = 0.9
"""Of a signal that is 1, less what the softmax leaves elsewhere: from there on the OR says just the same."""


def either(*, seed: int = 0, n: int = 16) -> Situation:
    """OR: two heads look at the same place; the MLP says yes to one signal or two."""
    enough = torch.tensor([0.0, -ENOUGH])
    wiring = _gate([1, 1], Neurons(0, _signal(2), enough, _said([2 / ENOUGH, -2 / ENOUGH]), _always(-1.0)))
    pair = [frozenset({f"embed->L0.H0.{slot}", f"embed->L0.H1.{slot}"}) for slot in "qkv"]
    pair.append(frozenset({"L0.H0->L0.mlp", "L0.H1->L0.mlp"}))
    roles = {"L0.H0": "one of two", "L0.H1": "one of two", "L0.mlp": "or"}
    notes = "hand-wired; either of two heads is enough, so without one nothing changes"
    return Situation(
        "redundant pair", plant(wiring, seed=seed), gate_pairs(seed, n, places=[1]), truths_of(wiring), notes, roles,
        redundant=tuple(pair),
    )  # fmt: skip


def all_of(*, seed: int = 0, n: int = 16) -> Situation:
    """AND: three heads look at three places; the MLP says yes to three signals only."""
    wiring = _gate([1, 2, 3], Neurons(0, _signal(1), torch.tensor([-2.0]), _said([2.0]), _always(-1.0)))
    roles = {**{f"L0.H{i}": "one of three" for i in range(3)}, "L0.mlp": "and"}
    notes = "hand-wired; all or nothing: with any edge of the circuit missing nothing is left of the behaviour"
    return Situation(
        "all or nothing", plant(wiring, seed=seed, heads=4), gate_pairs(seed, n, places=[1, 2, 3]), truths_of(wiring),
        notes, roles,
    )  # fmt: skip


def cancelling_paths(*, seed: int = 0, n: int = 16) -> Situation:
    """A head adds to the answer directly, and as steeply takes away through a later MLP, but only at the very end of its
    range: to first order it does nothing, in truth it does nearly all."""
    wiring = _gate([1], Neurons(1, _signal(1), torch.tensor([-0.8]), _said([-1.0]), _always(-0.4)))
    wiring.unembed("signal", _yes_no())
    roles = {"L0.H0": "adds directly, takes away through L1.mlp", "L1.mlp": "takes away"}
    notes = "hand-wired; the direct and the indirect path of L0.H0 have opposite slopes: its gradient is 0, its effect is not"
    return Situation(
        "cancelling paths", plant(wiring, seed=seed, background=0.01), gate_pairs(seed, n, places=[1]), truths_of(wiring),
        notes, roles, tolerance=0.1,
    )  # fmt: skip


def gate_pairs(seed: int, n: int, *, places: Sequence[int]) -> Pairs:
    """A prompt with the signal at these places, and the same without."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        clean = [BOS, *(rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(LENGTH - 1))]
        corrupt = list(clean)
        for place in places:
            clean[place] = SIGNAL
        found.append(example(tuple(clean), tuple(corrupt), answer=YES, wrong=NO))
    return Pairs(tuple(found), "gate", seed).align(None)


def _gate(places: Sequence[int], neurons: Neurons) -> Wiring:
    """Heads that each look at a place, and add 1 to the channel `signal` if the signal token is there."""
    wiring = board(VOCABULARY, LENGTH)
    wiring.channel("signal", 1)
    wiring.channel("said", 1)
    is_signal = unit(SIGNAL - 1, VOCABULARY - 1).T
    wiring.heads += [
        mover((0, i), place, length=LENGTH, value=(TOKENS, is_signal), write=("signal", torch.ones(1, 1)))
        for i, place in enumerate(places)
    ]
    wiring.neurons.append(neurons)
    wiring.unembed("said", _yes_no())
    return wiring


def _signal(neurons: int) -> tuple[Port, ...]:
    return (("signal", torch.ones(1, neurons)),)


def _said(weights: list[float]) -> tuple[Port, ...]:
    return (("said", torch.tensor(weights)[:, None]),)


def _always(value: float) -> tuple[Port, ...]:
    return (("said", torch.tensor([[value]])),)


def _yes_no() -> torch.Tensor:
    """Half the number to yes, minus half to no: the logit difference is the number."""
    return (unit(YES, VOCABULARY) - unit(NO, VOCABULARY)) / 2
