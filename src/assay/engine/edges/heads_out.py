"""How a layer's heads write to the residual stream: each through its rows of the output projection, and a norm perhaps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assay.models.network import Network
from assay.models.offloaded import weight_of
from assay.models.structure import Site
from assay.models.taps import HeadOut, output_weight


@dataclass(frozen=True)
class HeadsOut:
    """How a layer's heads write: `norm(Σ z·W + bias) · factor`."""

    z: Site
    tap: HeadOut
    factor: float
    norm: str | None

    def shares(self, network: Network, z: Tensor) -> Tensor:
        """Each head's share of the output projection: [batch, pos, head, d_head] → [batch, head, pos, d_model]."""
        return torch.einsum("bphd,hdm->bhpm", z, self._weight(network, z))

    def whole(self, network: Network, z: Tensor) -> Tensor:
        """What the output projection returns."""
        out = torch.einsum("bphd,hdm->bpm", z, self._weight(network, z))
        bias = weight_of(network.modules[self.tap.projection], "bias")
        return out if bias is None else out + bias.detach().to(out)

    def changes(self, network: Network, z: Tensor, other: Tensor) -> Tensor:
        """What is added more to the stream when one head's z is another: [batch, head, pos, d_model]."""
        shares = self.shares(network, other - z)
        if self.norm is None:
            return shares * self.factor
        out = self.whole(network, z)
        changed = self.added(network, (out[:, None] + shares).flatten(0, 1)).reshape(shares.shape)
        return changed - self.added(network, out)[:, None]

    def added(self, network: Network, out: Tensor) -> Tensor:
        """What is added to the stream when the output projection returns `out`."""
        if self.norm is not None:
            out = network.modules[self.norm].forward(out)
        return out if self.factor == 1.0 else out * self.factor

    def _weight(self, network: Network, z: Tensor) -> Tensor:
        module = network.modules[self.tap.projection]
        return output_weight(module, z.shape[-2], turned=self.tap.turned).detach().to(z)
