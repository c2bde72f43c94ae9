"""What one layer shows in a pass: how its queries, keys, values and MLP read the stream, and how its heads write to it.

Each is recomputed from what passed and compared; what does not come out is a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.edge_names import Receiver
from assay.core.sites import SiteName
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.projections import projection
from assay.engine.edges.reading import Norm, Port, Reading, same
from assay.engine.edges.stream_norms import StreamNorm
from assay.engine.edges.twice import OUTSIDE, Twice
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.structure import Site
from assay.models.taps import Direct, HeadOut, NormScale
from assay.models.views import Scaled


@dataclass(frozen=True)
class Evidence:
    """What one layer shows in a pass, with the norms in its stream's own way."""

    network: Network
    kept: Mapping[Site, Tensor]
    layer: int
    norms: tuple[StreamNorm, ...] = ()

    def port(self, slot: str | None) -> Port | str:
        """How q, k, v or the MLP (None) read."""
        name = "mlp_in" if slot is None else "attn_in"
        entry, site = self._site(name), self._site(slot or "mlp_in")
        for wanted, there in ((name, entry), (slot or "mlp_in", site)):
            if there is None:
                return str(self.network.why_not(f"L{self.layer}.{wanted}"))
        assert entry is not None and site is not None
        reading = self._reading(slot, self.kept[entry])
        if isinstance(reading, str) or slot is None:
            return reading if isinstance(reading, str) else Port(site, reading)
        found = projection(self.network, site, self.kept[entry], self.kept[site])
        return found if isinstance(found, str) else Port(site, reading, found)

    def _reading(self, slot: str | None, read: Tensor) -> Reading | str:
        stream = self._stream(slot)
        if stream is None:
            return f"the stream that it reads is not known ({self.network.why_not(f'L{self.layer}.resid_mid')})"
        x = self.kept[stream]
        if same(x, read):
            return Reading(stream, None)
        scale = self._site("mlp_norm_scale" if slot is None else "attn_norm_scale")
        if scale is not None:
            assert isinstance(scale.tap, NormScale)
            found = Reading(stream, Norm(scale.tap.port.module, scale.tap.centred, scale.tap.eps))
            try:
                with torch.no_grad():
                    if same(found.through(self.network, x), read):
                        return found
            except CANNOT_RUN:
                pass
        return "what it reads is not the stream through a norm"

    def _stream(self, slot: str | None) -> Site | None:
        kind = self.network.structure.kinds[None, self.layer]
        if slot is None and self.norms and self.norms[0].leads_to(Receiver(self.layer)):
            return self.norms[0].after
        return self._site("resid_mid" if slot is None and kind == "sequential" else "resid_pre")

    def heads(self) -> HeadsOut | str:
        """How the heads write."""
        z, out, added = self._site("z"), self._site("head_out"), self._site("attn_out")
        for name, there in (("z", z), ("head_out", out), ("attn_out", added)):
            if there is None:
                return str(self.network.why_not(f"L{self.layer}.{name}"))
        assert z is not None and out is not None and added is not None
        assert isinstance(out.tap, HeadOut) and isinstance(added.tap, Direct)
        if self._site("ssm_out") is not None:
            return "a recurrent mixer beside attention reads the same stream"
        factor = 1.0
        for step in added.tap.view.steps:
            factor *= step.factor if isinstance(step, Scaled) else 1.0
        for norm in (None, added.tap.port.module):
            found = HeadsOut(z, out.tap, factor, norm)
            try:
                with torch.no_grad():
                    whole = found.whole(self.network, self.kept[z])
                    if same(found.added(self.network, whole), self.kept[added]):
                        return found
            except CANNOT_RUN:
                continue
        return "what attention adds is not the sum of what its heads write, nor a norm of it"

    def _site(self, name: str) -> Site | None:
        return self.network.structure.sites.get(SiteName(name, self.layer))


def shared_keys(network: Network, depth: int, seen: Twice) -> dict[int, int]:
    """The layers whose attention takes over the keys of an earlier layer: whose; `OUTSIDE` where they are no layer's, and
    the same in both runs."""
    sites, found = network.structure.sites, dict[int, int]()
    own = [layer for layer in range(depth) if {SiteName("k", layer), SiteName("k_rot", layer)} <= sites.keys()]
    for layer in range(depth):
        read = sites.get(SiteName("k_rot", layer))
        if read is None or SiteName("k", layer) in sites or read not in seen.here or not seen.there:
            continue
        if not own and torch.equal(seen.here[read], seen.there[read]):
            found[layer] = OUTSIDE
        for earlier in (before for before in own if before < layer):
            keys = sites[SiteName("k_rot", earlier)]
            if all(torch.equal(values[keys], values[read]) for values in (seen.here, seen.there)):
                found[layer] = earlier
                break
    return found
