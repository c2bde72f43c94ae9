"""What is read of the output of passes: at which positions, and the logits of which tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from assay.engine.select import Scope
from assay.models.network import Network


@dataclass(frozen=True)
class Reads:
    """What passes have to compute of their output; None is all."""

    positions: Callable[[str, Callable[[str], Scope]], Bool[Tensor, "batch pos"]] | None = None
    """By run, given the examples and positions of every run's pass."""
    tokens: Int[Tensor, " named"] | None = None
    """Ids in order."""

    def at(self, run: str, scope: Callable[[str], Scope]) -> Bool[Tensor, "batch pos"] | None:
        """The positions that are read of a run's pass."""
        return None if self.positions is None else self.positions(run, scope)

    def most(self, run: str, scope: Callable[[str], Scope]) -> int:
        """The most of them in one prompt."""
        read = self.at(run, scope)
        return scope(run).tokens if read is None else int(read.sum(1).max())

    def share(self, network: Network) -> float:
        """What part of the vocabulary has logits."""
        return 1.0 if self.tokens is None else len(self.tokens) / (network.vocabulary or len(self.tokens))
