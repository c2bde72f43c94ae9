"""Seeds: randomness that depends on a seed and on what it is for, never on a global state or on the order of work."""

from __future__ import annotations

import hashlib

import torch


def child_seed(seed: int, *names: str) -> int:
    """A seed for one use, from a base seed and the names that tell the use apart; 63 bits."""
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str) -> torch.Generator:
    """A torch generator (CPU) seeded for one use."""
    return torch.Generator().manual_seed(child_seed(seed, *names))
