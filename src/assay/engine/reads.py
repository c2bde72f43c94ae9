"""What is read of the output of passes: at which positions, and the logits of which tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from assay.engine.ends import blocks_until
from assay.engine.select import Scope
from assay.models.network import Network
from assay.models.structure import Site


@dataclass(frozen=True)
class Reads:
    """What passes have to compute of their output; None is all."""

    positions: Callable[[str, Callable[[str], Scope]], Bool[Tensor, "batch pos"]] | None = None
    """By run, given the examples and positions of every run's pass."""
    tokens: Int[Tensor, " named"] | None = None
    """Ids in order."""
    unread: frozenset[str] = frozenset()
    """Runs of whose output nothing is read."""

    def at(self, run: str, scope: Callable[[str], Scope]) -> Bool[Tensor, "batch pos"] | None:
        """The positions that are read of a run's pass."""
        return None if self.positions is None else self.positions(run, scope)

    def until(self, network: Network, run: str, sites: Collection[Site]) -> int | None:
        """The number of blocks after which a run's pass ends, if these sites are kept; None: it goes on to its output."""
        return blocks_until(network, sites) if run in self.unread else None

    def most(self, run: str, scope: Callable[[str], Scope]) -> int:
        """The most of them in one prompt."""
        read = self.at(run, scope)
        return scope(run).tokens if read is None else int(read.sum(1).max())

    def share(self, network: Network) -> float:
        """What part of the vocabulary has logits."""
        return 1.0 if self.tokens is None else len(self.tokens) / (network.vocabulary or len(self.tokens))
