"""Receivers of one layer and slot: where their gradients are found, and what these are at what the receivers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Receiver
from assay.engine.edges.expanded import group_size
from assay.engine.edges.reading import Norm, Port
from assay.engine.edges.rewire import Place, by_place
from assay.engine.edges.wiring import Wiring
from assay.models.network import Network
from assay.models.structure import Site

Stream = tuple[Site, bool, float]
"""What is normalised, and how."""


@dataclass(frozen=True)
class ReadAt:
    """Some receivers by their numbers. `port`: how they read; None: the stream behind the last layer, as it is."""

    network: Network
    place: Place
    numbers: Sequence[int]
    site: Site
    port: Port | None
    heads: Tensor
    """The receivers' own heads at the site."""
    columns: Tensor
    """Which of the projection's heads they read."""

    @property
    def norm(self) -> Norm | None:
        """The norm that they read the stream through."""
        return None if self.port is None else self.port.reading.scale

    @property
    def stream(self) -> Stream | None:
        """What they read, as far as x̂ and s depend on it."""
        if self.port is None or self.norm is None:
            return None
        return self.port.reading.stream, self.norm.centred, self.norm.eps

    def own(self, gradient: Tensor) -> Tensor:
        """Of a gradient at the site, the receivers' part: [..., pos, head, d_head], or all of it."""
        if self.port is None or self.port.projection is None:
            return gradient
        return gradient[..., self.heads, :]

    def seen(self, x: Tensor) -> Tensor:
        """A vector of the stream as the receivers see it, biases left out."""
        if self.port is None or self.port.projection is None:
            return x
        return self.port.projection.seen(self.network, x, self.columns)

    def at_input(self, own: Tensor) -> Float[Tensor, "example receiver pos d_model"]:
        """The receivers' gradients as those at what their projection reads."""
        if self.port is None or self.port.projection is None:
            return own[:, None]
        return self.port.projection.pull(self.network, own, self.columns)

    def at_stream(self, own: Tensor, stream: Tensor) -> Float[Tensor, "example receiver pos d_model"]:
        """The receivers' gradients as those at the stream, whose value is `stream` [example, pos, d_model]."""
        found = self.at_input(own)
        return found if self.port is None else self.port.reading.pulled(self.network, found, stream[:, None])


def read_at(wiring: Wiring, receivers: Sequence[Receiver], *, shared: bool) -> list[ReadAt]:
    """Receivers by their place. `shared`: keys and values are as the projection gives them."""
    found = []
    for place, numbers in by_place((receiver, number) for number, receiver in enumerate(receivers)).items():
        layer, slot = place
        port = None if layer is None else wiring.port(Receiver(layer, None, slot))
        heads = torch.tensor([receivers[number].head or 0 for number in numbers])
        columns = heads
        if layer is not None and slot in ("k", "v") and not shared:
            columns = heads // group_size(wiring.network, layer)
        site = wiring.last if port is None else port.site
        found.append(ReadAt(wiring.network, place, numbers, site, port, heads, columns))
    return found
