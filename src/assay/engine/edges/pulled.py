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

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Receiver, Sender, comes_before
from assay.engine.edges.read_at import ReadAt
from assay.engine.edges.stream_joins import gone_back
from assay.engine.edges.wiring import Wiring
from assay.models.structure import Site


@dataclass
class Pulled:
    """Slopes of some examples, summed over points. `changes` are D_u."""

    wiring: Wiring
    senders: Sequence[Sender]
    reads: Sequence[ReadAt]
    changes: Float[Tensor, "example sender pos d_model"]
    total: Float[Tensor, "example sender receiver"] = field(init=False)

    def __post_init__(self) -> None:
        receivers = sum(len(at.numbers) for at in self.reads)
        self.total = self.changes.new_zeros(*self.changes.shape[:2], receivers)

    @torch.no_grad()
    def add(self, slopes: Mapping[Site, Tensor], passed: Mapping[Site, Tensor]) -> None:
        """The gradients of one point, and what passed, at sites: [example, pos, …]."""
        streams: dict[tuple[int | None, bool], list[ReadAt]] = {}  # attention's receivers go one way
        for at in self.reads:
            streams.setdefault((at.place[0], at.place[1] is None), []).append(at)
        for reads in streams.values():
            gradient = torch.cat([_at_stream(at, slopes, passed) for at in reads], 1)
            self._go_back(reads, gradient, passed)

    def _go_back(
        self,
        reads: Sequence[ReadAt],
        gradient: Float[Tensor, "example receiver pos d_model"],
        passed: Mapping[Site, Tensor],
    ) -> None:
        layer, slot = reads[0].place
        receiver, numbers = Receiver(layer, None, slot), [number for at in reads for number in at.numbers]
        parallel = layer is not None and self.wiring.parallel[layer]
        left = [s for s, sender in enumerate(self.senders) if comes_before(sender, receiver, parallel=parallel)]
        later: dict[Site, Tensor] = {}  # gradients at earlier streams, from where these are added again
        for norm in reversed([norm for norm in self.wiring.norms if norm.leads_to(receiver)]):
            self._meet([s for s in left if not norm.takes(self.senders[s])], numbers, gradient)
            left = [s for s in left if norm.takes(self.senders[s])]
            if not left:
                return
            gradient = gone_back(gradient, norm, later)
            gradient = norm.pulled(self.wiring.network, gradient, passed[norm.before][:, None])
        self._meet(left, numbers, gradient)
        again = later.get(self.wiring.written(Sender()))
        if again is not None:
            self._meet([s for s in left if self.senders[s].layer is None], numbers, again)

    def _meet(self, senders: list[int], numbers: Sequence[int], gradient: Tensor) -> None:
        if senders:
            found = self.changes[:, senders].flatten(2).to(gradient) @ gradient.flatten(2).transpose(1, 2)
            for column, number in enumerate(numbers):
                self.total[:, senders, number] += found[:, :, column].to(self.total)


def _at_stream(at: ReadAt, slopes: Mapping[Site, Tensor], passed: Mapping[Site, Tensor]) -> Tensor:
    stream = at.site if at.port is None else at.port.reading.stream
    return at.at_stream(at.own(slopes[at.site]), passed[stream])
