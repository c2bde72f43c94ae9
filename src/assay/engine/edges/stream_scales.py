"""Blocks that multiply their whole stream at the end by a number of their own (Gemma 4's `layer_scalar`).

    resid_post = s · (resid_mid + mlp_out)

What any part wrote before then reaches later parts s times as large, and so do changes of it: a step in the stream's own way,
as a norm is in post-norm blocks (`stream_norms.py`), and a plainer one. The number is read from the model each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from assay.core.edge_names import Receiver, Sender, comes_before
from assay.core.sites import SiteName
from assay.engine.edges.stream_norms import StreamNorm
from assay.models.network import Network
from assay.models.structure import Site


@dataclass(frozen=True)
class StreamScale:
    """A number that the stream is multiplied by behind a layer. `part` is the last of the layer that writes to it."""

    module: str
    """The number's name among the model's weights."""
    part: Sender
    before: Site
    after: Site
    between: ClassVar[bool] = False
    adds: ClassVar[Site | None] = None

    def takes(self, sender: Sender) -> bool:
        """Whether what a sender writes is multiplied."""
        return sender.layer is None or (self.part.layer is not None and sender.layer <= self.part.layer)

    def leads_to(self, receiver: Receiver) -> bool:
        """Whether what it hands on is part of what a receiver reads."""
        return comes_before(self.part, receiver, parallel=False)

    def carried(self, network: Network, change: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """A change of the sum as a change of what is handed on, [..., pos, d_model]."""
        return change * self.factor(network, change)

    def pulled(self, network: Network, gradient: Tensor, before: Tensor) -> Tensor:
        """A gradient at what is handed on as one at the sum."""
        return gradient * self.factor(network, gradient)

    def factor(self, network: Network, like: Tensor) -> Tensor:
        """The number."""
        number = network.multiplier(self.part.layer or 0)
        assert number is not None  # else there were no such step
        return number.to(like)


StreamStep = StreamNorm | StreamScale
"""What is done to the stream itself on its way."""


def stream_scales(network: Network, layer: int) -> tuple[StreamScale, ...]:
    """What the stream is multiplied by behind a layer: one number, or none."""
    name = network.structure.rescaled.get((None, layer))
    if name is None:
        return ()
    mlp = SiteName("mlp_out", layer) in network.structure.sites
    behind = network.site(f"L{layer}.resid_post")
    return (StreamScale(name, Sender(layer, mixer=not mlp), behind, behind),)
