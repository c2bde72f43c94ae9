"""What hand-wired circuits begin with: tokens and positions in channels, and heads that look at one place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from assay.training.planted.wiring import Head, Port, Wiring

SHARPNESS = 12.0
"""Score of the position that a head looks at above the others: they get e^−12, six millionths, each."""

BOS = 0
TOKENS, PLACES = "tokens", "places"


def board(vocabulary: int, length: int, *, causal: bool = True) -> Wiring:
    """Channels `tokens` (no row for `BOS`, which is 0) and `places`, one-hot both."""
    wiring = Wiring(vocabulary, length, causal=causal)
    wiring.embed(TOKENS, torch.eye(vocabulary)[:, 1:])
    wiring.place(PLACES, torch.eye(length))
    return wiring


def look(at: int, length: int) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Query and key of a head that looks at one position from wherever it may."""
    here = torch.ones(length, 1) * SHARPNESS
    return ((PLACES, here),), ((PLACES, unit(at, length).T),)


def mover(name: tuple[int, int], at: int, *, length: int, value: Port, write: Port) -> Head:
    """A head that moves something from one position."""
    query, key = look(at, length)
    return Head(*name, query, key, (value,), (write,))


def unit(place: int, size: int) -> Float[Tensor, "1 size"]:
    """A one-hot row."""
    return torch.eye(size)[place : place + 1]
