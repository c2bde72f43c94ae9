"""How assay's cost grows: sweeps in which one thing is varied and the others are held, and what power of it the cost follows.

The base is a sweep of `resid_pre` at eight of sixteen positions in eight of thirty layers, one pair of prompts that differ from
the first token on, so that nothing is free. Varied are the model's depth (its first layers alone), the length of the prompts,
their number, and the number of patched places; and, since a grid over all layers or all positions has more variants in a deeper
model or a longer prompt, the depth and the length with every layer, or every position, patched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from side_by_side.by_hooks import twin
from side_by_side.rounds import Clock
from side_by_side.sweep_rows import Part

from assay import load

DEPTH, LENGTH, PROMPTS, PLACES = 30, 16, 1, 8


@dataclass(frozen=True)
class Sweep:
    """A sweep: the model's depth, the prompts' length and number, how many layers and positions are patched."""

    depth: int = DEPTH
    length: int = LENGTH
    prompts: int = PROMPTS
    layers: int = PLACES
    positions: int = PLACES


BASE = Sweep()
AXES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "layers": ("layers of the model", (10, 15, 20, 25, 30)),
    "positions": ("tokens of the prompt", (16, 32, 64, 128)),
    "prompts": ("prompts", (1, 2, 4, 8, 16)),
    "variants": ("variants", (16, 32, 64, 128, 240)),
    "all layers": ("layers (all patched)", (10, 15, 20, 25, 30)),
    "all positions": ("tokens (all patched)", (8, 16, 32, 64)),
}
"""What is varied: how it is called, and over which numbers."""


def sweep(axis: str, value: int) -> Sweep:
    """The base with one thing changed."""
    changed = {
        "layers": {"depth": value},
        "positions": {"length": value},
        "prompts": {"prompts": value},
        "variants": {"layers": value // PLACES},
        "all layers": {"depth": value, "layers": value},
        "all positions": {"length": value, "positions": value},
    }
    return replace(BASE, **changed[axis])


def centred(count: int, size: int) -> tuple[int, ...]:
    """So many of `size` places, in the middles of equal parts: the mean place is the same for every count."""
    return tuple(int((i + 0.5) * size / count) for i in range(count))


def part(made: Sweep, vocabulary: int) -> Part:
    """Random tokens; the other prompt differs in every one of them."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(100, vocabulary - 100, (made.prompts, made.length), generator=generator)
    return Part(
        clean, clean + 1, clean[:, 0], clean[:, 1], sites=("resid_pre",), layers=centred(made.layers, made.depth),
        positions=centred(made.positions, made.length),
    )  # fmt: skip


class Models:
    """The model, and its first layers alone as models of their own with the same weights."""

    def __init__(self, model: Any) -> None:
        self.by_depth = {model.n_layers: model}
        self.whole = model

    def deep(self, depth: int) -> Any:
        if depth not in self.by_depth:
            native = twin(self.whole.native)
            native.model.layers, native.config.num_hidden_layers = native.model.layers[:depth], depth
            found = self.by_depth[depth] = load(native)
            assert found.fingerprint  # computed now, and not while a sweep is timed
            self.point("all layers", depth, Clock())
        return self.by_depth[depth]

    def point(self, axis: str, value: int, clock: Clock) -> dict[str, Any]:
        """Seconds, token-layers and operations of one sweep."""
        made = sweep(axis, value)
        model = self.deep(made.depth)
        experiment = part(made, model.native.config.vocab_size).experiment(made.depth)
        results: list[Any] = []
        seconds = clock.time(lambda: results.append(model.measure(experiment)))
        cost = results[0].cost
        return {"seconds": seconds, "token_layers": cost.token_layers, "flops": cost.flops}
