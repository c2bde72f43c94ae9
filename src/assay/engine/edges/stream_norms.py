"""Norms in the stream's own way: post-norm blocks (BERT, BART), where it is normed after each sum.

There no stream is a sum of what parts write, but the way of each part to what reads it is known: x ← norm(x + what is
written), sum after sum. A receiver with cut edges goes this way again, in a copy of its own, with other values in those
sums. A change d of a sum goes on as

    norm(sum + d) − norm(sum)

by the native norm, at the sum of this very pass, and is added to the changes of the next sum. Slopes go back the same way,
by the norm's derivative at that sum.

Cost: for each receiver up to two norms for each layer before it, pos · d_model numbers each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.edge_names import Receiver, Sender, comes_before
from assay.core.sites import SiteName
from assay.engine.edges.mixers import mixer_outputs
from assay.engine.edges.reading import pulled_back, same
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.structure import Site


@dataclass(frozen=True)
class StreamNorm:
    """A native norm between a sum and the stream. `part` is the last that writes into the sum: a layer's mixer, or its MLP."""

    module: str
    part: Sender
    before: Site
    after: Site
    between: bool = False
    """It lies between a layer and the next (`stream_joins.py`)."""
    adds: Site | None = None
    """What is added behind it: another that was handed on earlier, or what enters the first layer."""

    def takes(self, sender: Sender) -> bool:
        """Whether what a sender writes goes through it."""
        if sender.layer is None or self.part.layer is None or sender.layer != self.part.layer:
            return sender.layer is None or (self.part.layer is not None and sender.layer < self.part.layer)
        return not self.part.mixer or sender.mixer or sender.head is not None

    def leads_to(self, receiver: Receiver) -> bool:
        """Whether what it hands on is part of what a receiver reads."""
        return comes_before(self.part, receiver, parallel=False)

    def carried(self, network: Network, change: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """A change of the sum as a change of what is handed on, [..., pos, d_model]; the others spread to its shape."""
        return self.through(network, before + change) - after

    def pulled(self, network: Network, gradient: Tensor, before: Tensor) -> Tensor:
        """A gradient at what is handed on as one at the sum `before`, which spreads to its shape [..., pos, d_model]."""
        return pulled_back(lambda x: self.through(network, x), gradient, before)

    def through(self, network: Network, x: Tensor) -> Tensor:
        """Any sums [..., pos, d_model] through the native module."""
        out: Tensor = network.modules[self.module].forward(x.flatten(0, -3))
        return out.reshape(x.shape)


def stream_norms(network: Network, layer: int) -> tuple[StreamNorm, ...] | str:
    """The norms in the stream's way through a layer, in forward order; none where it is a sum. Or why they are not known."""
    structure = network.structure
    taps = structure.stream_norms.get((None, layer), ())
    if not taps:
        return ()
    pre = network.site(f"L{layer}.resid_pre")
    parts = [Sender(layer, mixer=True)] if mixer_outputs(network, layer) else []
    parts += [Sender(layer)] if SiteName("mlp_out", layer) in structure.sites else []
    if len(taps) > len(parts) or SiteName("cross_attn_out", layer) in structure.sites:
        return "its stream is normed after something else than its attention and its MLP"
    found = []
    for number, (part, (source, out)) in enumerate(zip(parts, taps, strict=False)):
        before, after = (
            Site(SiteName(f"stream_norm_{number}.{side}", layer), pre.axes, pre.sizes, False, tap)
            for side, tap in (("in", source), ("out", out))
        )
        found.append(StreamNorm(out.port.module, part, before, after))
    return tuple(found)


def established(
    network: Network, ways: Sequence[tuple[StreamNorm, ...] | str], values: Mapping[Site, Tensor]
) -> tuple[list[tuple[StreamNorm, ...]], dict[int, str]]:
    """Of each layer the norms that give by themselves what they gave in a pass; and for the other layers, why not."""
    why: dict[int, str] = {}
    for layer, way in enumerate(ways):
        if isinstance(way, str):
            why[layer] = way
        elif (norm := next((each for each in way if not gives(network, each, values)), None)) is not None:
            why[layer] = f"{norm.module} norms its stream, and does not give by itself what it gives in the model"
    return [() if isinstance(way, str) or layer in why else way for layer, way in enumerate(ways)], why


def gives(network: Network, norm: StreamNorm, values: Mapping[Site, Tensor]) -> bool:
    """Whether a norm gives by itself what it gave in a pass."""
    try:
        with torch.no_grad():
            return same(norm.through(network, values[norm.before]), values[norm.after])
    except CANNOT_RUN:
        return False
