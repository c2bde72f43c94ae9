"""One head's part of the query, key or value projection, for inputs that differ between heads.

A plain linear layer is multiplied by each head's own columns, so that H inputs for H heads cost one projection. Any other
module is run on every input, and each head's columns are taken of what it returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.errors import SiteError
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.offloaded import weight_of
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.views import Columns, Frame, Heads, Slice, View


@dataclass(frozen=True)
class Projection:
    """A native projection and where its heads lie. `turned`: its weight is stored as [in, out]; None: not a plain one."""

    module: str
    columns: View
    turned: bool | None

    def apply(self, network: Network, x: Tensor, heads: Tensor) -> Tensor:
        """Each head's projection of its own input: [batch, head, pos, d_model] → [batch, pos, head, d_head].

        `heads` are the heads' numbers, one for each input.
        """
        if self.turned is None:
            whole = self._read(network.modules[self.module].forward(x.flatten(0, 1)))
            number = heads.repeat(x.shape[0]).to(x.device)
            own = whole[torch.arange(len(number), device=x.device), :, number]
            parted: Tensor = own.unflatten(0, x.shape[:2])
            return parted.transpose(1, 2)
        weight, bias = self.weight(network, x, heads)
        out = torch.einsum("bhpm,mhd->bphd", x, weight)
        return out if bias is None else out + bias

    def pull(self, network: Network, gradient: Tensor, heads: Tensor) -> Tensor:
        """Gradients at heads' outputs as gradients at their inputs: [batch, pos, head, d_head] → [batch, head, pos,
        d_model].

        Raises:
            SiteError: the projection is not one by a plain weight.
        """
        weight, _ = self.weight(network, gradient, heads)
        return torch.einsum("bphd,mhd->bhpm", gradient, weight)

    def seen(self, network: Network, x: Tensor, heads: Tensor) -> Tensor:
        """One input of all heads through their weights, without biases: [batch, pos, d_model] → [batch, pos, head, d_head]."""
        weight, _ = self.weight(network, x, heads)
        return torch.einsum("bpm,mhd->bphd", x, weight)

    def weight(self, network: Network, like: Tensor, heads: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of a plain projection, the columns of some heads: [d_model, head, d_head], and their bias [head, d_head]."""
        module = network.modules[self.module]
        weight, bias = weight_of(module), weight_of(module, "bias")
        if weight is None or self.turned is None:
            raise SiteError(f"{self.module} does more than multiply by a weight, so its derivative is not known here.")
        rows = weight.detach() if self.turned else weight.detach().T
        chosen = self._read(rows[None])[0][:, heads.to(rows.device)].to(like)
        if bias is None:
            return chosen, None
        return chosen, self._read(bias.detach()[None, None])[0, 0][heads.to(bias.device)].to(like)

    def _read(self, out: Tensor) -> Tensor:
        return self.columns.read(out, Frame(out.shape[0], out.shape[1]))


def projection(network: Network, site: Site, read: Tensor, value: Tensor) -> Projection | str:
    """The projection that makes `value` at a site from `read`, or why there is none."""
    if not isinstance(site.tap, Direct):
        return f"{site} is not one tensor"
    path = site.tap.port.module
    columns = View(tuple(step for step in site.tap.view.steps if isinstance(step, Slice | Columns | Heads)))
    heads = torch.arange(value.shape[2])
    for turned in (False, True, None):
        found = Projection(path, columns, turned)
        try:
            with torch.no_grad():
                each = read[:, None].expand(-1, len(heads), -1, -1)
                if _same(found.apply(network, each, heads), value):
                    return found
        except (*CANNOT_RUN, SiteError):
            continue
    return f"{site} is no projection of what attention reads"


def _same(left: Tensor, right: Tensor) -> bool:
    exact = right.dtype in (torch.float32, torch.float64)
    scale = float(right.abs().max())
    return left.shape == right.shape and float((left - right).abs().max()) <= (1e-4 if exact else 5e-2) * scale
