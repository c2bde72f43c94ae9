"""Networks written by hand in plain torch, with names that no library uses: what is found in them is found by evidence.

Every block computes its own attention in full sight, so a test can follow it line by line.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, HEADS, SIZE, WORDS, PLACES = 24, 3, 8, 50, 16


class Gaze(nn.Module):
    """Causal attention with separate projections."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.offer, self.give = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.gather = nn.Linear(WIDTH, WIDTH)

    def forward(self, river: Tensor) -> Tensor:
        q, k, v = (f(river).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for f in (self.ask, self.offer, self.give))
        mixed = torch.matmul(self.weigh(q, k), v)
        return self.gather(mixed.transpose(1, 2).flatten(-2))

    def weigh(self, q: Tensor, k: Tensor) -> Tensor:
        scores = torch.matmul(q, k.transpose(-1, -2)) / SIZE**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(future, float("-inf")), -1)


class Mill(nn.Module):
    """A plain MLP whose activation is a function, not a module."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)

    def forward(self, river: Tensor) -> Tensor:
        return self.narrow(nn.functional.gelu(self.widen(river)))


class Floor(nn.Module):
    """A block with norms before its parts: one after the other, or side by side."""

    def __init__(self, gaze: nn.Module, mill: nn.Module, *, parallel: bool = False) -> None:
        super().__init__()
        self.calm, self.still = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.gaze, self.mill, self.parallel = gaze, mill, parallel

    def forward(self, river: Tensor) -> Tensor:
        if self.parallel:
            return river + self.gaze(self.calm(river)) + self.mill(self.still(river))
        river = river + self.gaze(self.calm(river))
        return river + self.mill(self.still(river))


class House(nn.Module):
    """A small language model: words and places, floors, a last norm, a voice."""

    def __init__(self, *floors: nn.Module) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(PLACES, WIDTH)
        self.floors = nn.ModuleList(floors)
        self.roof, self.voice = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS)

    def forward(self, numbers: Tensor) -> Tensor:
        river = self.words(numbers) + self.places(torch.arange(numbers.shape[1]))
        for floor in self.floors:
            river = floor(river)
        return self.voice(self.roof(river))


def house(*, parallel: bool = False, gaze: type[nn.Module] = Gaze, mill: type[nn.Module] = Mill) -> House:
    """Two floors, with weights large enough that each matters."""
    torch.manual_seed(0)
    native = House(*(Floor(gaze(), mill(), parallel=parallel) for _ in range(2))).eval()
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return native


def numbers(*, batch: int = 4, length: int = 6, seed: int = 0) -> Tensor:
    """Token ids."""
    return torch.randint(WORDS, (batch, length), generator=torch.Generator().manual_seed(seed))
