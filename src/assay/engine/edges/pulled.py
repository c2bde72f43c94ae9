"""Slopes where norms lie between senders and receivers: gradients go back through them, sum after sum.

    slope(u → v) = D_u · Jᵀ_1 … Jᵀ_k · ∂m/∂in_v        the norms on the way from u to v, at the sums of that very pass

A receiver's gradient meets all senders into one sum at once, and goes back through the norm before it to the sum before.
Norms differ from point to point of a path, so each point's slopes are summed edge by edge.

Cost for each example and point: the derivative of up to two norms for each layer before each receiver, and edges · pos ·
d_model multiplications. Memory: a layer's receivers · pos · d_model, a few times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Receiver, Sender, comes_before
from assay.engine.edges.stream_scales import StreamStep
from assay.models.network import Network


@dataclass
class Pulled:
    """Slopes of some examples, summed over points. `changes` are D_u."""

    network: Network
    norms: Sequence[StreamStep]
    senders: Sequence[Sender]
    receivers: Sequence[Receiver]
    changes: Float[Tensor, "example sender pos d_model"]
    total: Float[Tensor, "example sender receiver"] = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.changes.new_zeros(*self.changes.shape[:2], len(self.receivers))

    def add(
        self,
        numbers: Sequence[int],
        gradient: Float[Tensor, "example receiver pos d_model"],
        sums: Mapping[StreamStep, Float[Tensor, "example pos d_model"]],
    ) -> None:
        """Gradients at what some receivers of one stream read (`numbers`), at one point, where norms read `sums`."""
        reads = self.receivers[numbers[0]]
        left = [s for s, sender in enumerate(self.senders) if comes_before(sender, reads, parallel=False)]
        for norm in reversed([norm for norm in self.norms if norm.leads_to(reads)]):
            self._meet([s for s in left if not norm.takes(self.senders[s])], numbers, gradient)
            left = [s for s in left if norm.takes(self.senders[s])]
            if not left:
                return
            gradient = norm.pulled(self.network, gradient, sums[norm][:, None])
        self._meet(left, numbers, gradient)

    def _meet(self, senders: list[int], numbers: Sequence[int], gradient: Tensor) -> None:
        if senders:
            found = self.changes[:, senders].flatten(2).to(gradient) @ gradient.flatten(2).transpose(1, 2)
            for column, number in enumerate(numbers):
                self.total[:, senders, number] += found[:, :, column].to(self.total)
