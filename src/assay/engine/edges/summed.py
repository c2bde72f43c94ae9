"""Slopes where streams are sums: gradients of all points of a path are summed in the receivers' own small spaces.

The way back through a head's columns W of the projection and the norm (x̂ = x / s, weight w) is

    D · J'(Wᵀg) = D · w∘Wᵀ(g / s) − (D · x̂) · (x̂ · w∘Wᵀg) / (d · s)

so that nothing of the size receivers × d_model is made before points are summed. Cost: once for each example, edges · pos ·
d_model multiplications. Memory: of each point, x̂ of each stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Sender
from assay.engine.edges.read_at import ReadAt, Stream
from assay.engine.edges.reading import norm_parts
from assay.engine.edges.rewire import Place
from assay.models.structure import Site


@dataclass
class Summed:
    """Gradients at all receivers, summed over the points of a path."""

    reads: Sequence[ReadAt]
    senders: Sequence[Sender]
    _flat: dict[Place, Tensor] = field(default_factory=dict)
    """Σ g / s, in the receivers' own space: [example, pos, head, d_head], or [example, pos, d_model]."""
    _along: dict[Place, list[Tensor]] = field(default_factory=dict)
    """(x̂ · w∘Wᵀg) / (d · s) at each point: [example, receiver, pos]."""
    _units: dict[Stream, list[Tensor]] = field(default_factory=dict)
    """x̂ at each point: [example, pos, d_model]."""

    def add(self, slopes: Mapping[Site, Tensor], passed: Mapping[Site, Tensor]) -> None:
        """One pass's gradients, and what passed, at sites: [point, example, pos, …]."""
        normed: dict[Stream, tuple[Tensor, Tensor]] = {}
        for stream in dict.fromkeys(at.stream for at in self.reads):
            if stream is not None:
                normed[stream] = norm_parts(passed[stream[0]], *stream[1:])
                self._units.setdefault(stream, []).extend(normed[stream][0])
        for at in self.reads:
            self._sum(at, at.own(slopes[at.site]), None if at.stream is None else normed[at.stream])

    def _sum(self, at: ReadAt, gradient: Tensor, normed: tuple[Tensor, Tensor] | None) -> None:
        """`normed` are x̂ and s of what is read there."""
        if normed is not None and at.norm is not None:
            unit, scale = normed
            weighted = unit * at.norm.weight(at.network, unit)
            for point in range(len(unit)):
                seen = gradient[point] * at.seen(weighted[point])
                along = seen.sum(-1) / (
                    unit.shape[-1] * scale[point].reshape(*scale[point].shape[:2], *[1] * (seen.ndim - 3))
                )
                along = along.transpose(1, 2) if along.ndim == 3 else along[:, None]
                self._along.setdefault(at.place, []).append(along)
            gradient = gradient / scale.reshape(*scale.shape[:3], *[1] * (gradient.ndim - 3))
        total = gradient.sum(0)
        self._flat[at.place] = total if at.place not in self._flat else self._flat[at.place] + total

    def times(
        self, changes: Float[Tensor, "example sender pos d_model"], points: int
    ) -> Float[Tensor, "example sender receiver"]:
        """Changes of what senders write times the mean gradients; of pairs that are no edges as well."""
        found = changes.new_zeros(*changes.shape[:2], sum(len(at.numbers) for at in self.reads))
        together: dict[tuple[int | None, Stream | None], list[ReadAt]] = {}
        for at in self.reads:
            together.setdefault((at.place[0], at.stream), []).append(at)
        for (layer, stream), reads in together.items():
            numbers = [number for at in reads for number in at.numbers]
            last = max(n for n, sender in enumerate(self.senders) if _before(sender, layer)) + 1
            gradient = torch.cat([self._gradient(at) for at in reads], 1)
            for example, some in enumerate(changes[:, :last].to(gradient.dtype)):
                total = some.flatten(1) @ gradient[example].flatten(1).T
                if stream is not None:
                    unit = torch.stack([unit[example] for unit in self._units[stream]], -1)  # pos d_model point
                    lines = [torch.stack([a[example] for a in self._along[at.place]], -1) for at in reads]
                    along = torch.cat(lines).permute(1, 2, 0)  # pos point receiver
                    total -= ((some.transpose(0, 1) @ unit) @ along).sum(0)
                found[example, :last, numbers] = (total / points).to(found)
        return found

    def _gradient(self, at: ReadAt) -> Float[Tensor, "example receiver pos d_model"]:
        pulled = at.at_input(self._flat[at.place])
        if at.norm is None:
            return pulled
        pulled = pulled * at.norm.weight(at.network, pulled)
        return pulled - pulled.mean(-1, keepdim=True) if at.norm.centred else pulled


def _before(sender: Sender, layer: int | None) -> bool:
    return layer is None or sender.layer is None or sender.layer <= layer
