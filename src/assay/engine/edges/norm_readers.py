"""Norms that read a residual stream, as places where what a part reads can be put.

Where native code has no one tensor that is known to be a part's input (latent attention reads it several times over, side
by side mixers each scale it), what a norm of its own hands on is that input. Cost: the search for all norms of the model
(`Network.norms`), and two passes on the example inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from assay.core.sites import SiteName
from assay.engine.edges.reading import Norm, Port, Reading, same
from assay.engine.edges.twice import Twice
from assay.models.network import Network
from assay.models.ports import Port as ModulePort
from assay.models.structure import Site
from assay.models.taps import Direct


@dataclass(frozen=True)
class NormReaders:
    """Every call of every norm in a pass: the norm itself, what it reads and what it gives. `seen` holds their values."""

    seen: Twice
    norms: tuple[tuple[Norm, Site, Site], ...]

    @classmethod
    def of(cls, network: Network, sites: Iterable[Site]) -> NormReaders:
        """The norms of a model; the values of `sites` are kept as well."""
        width = {"d_model": network.site("L0.resid_pre").sizes["d_model"]}

        def site(port: ModulePort) -> Site:
            name = SiteName(f"{port.side}.{port.call}" if port.call else port.side, native=port.module)
            return Site(name, ("batch", "pos", "d_model"), width, True, Direct(port))

        found = [
            (Norm(norm.port.module, norm.centred, norm.eps), site(norm.source), site(norm.port))
            for norm in network.norms
        ]
        every = [end for _, source, out in found for end in (source, out)]
        return cls(Twice.of(network, [*sites, *every]), tuple(found))

    def ports(self, stream: Site, entries: Iterable[Site]) -> Iterator[Port]:
        """Where the input of what reads a stream may be put: at a site that holds it, or as a norm hands it on."""
        values = self.seen.here
        reading = [
            (Reading(stream, norm), out)
            for norm, source, out in self.norms
            if same(values[stream].to(values[source].dtype), values[source])  # the stream may be kept in a finer dtype
            and values[out].shape == values[stream].shape
        ]
        for entry in entries:
            if same(values[stream], values[entry]):
                yield Port(entry, Reading(stream, None))
            yield from (Port(entry, read) for read, out in reading if same(values[out], values[entry]))
        yield from (Port(out, read) for read, out in reading)


def mlps_through_norms(network: Network, ports: dict[tuple[int, str | None], Port | str], depth: int) -> None:
    """MLPs whose input is no one tensor: what the norm hands on that alone reads the stream after attention."""
    structure = network.structure
    streams: dict[int, Site] = {}
    for layer in range(depth):
        alone = "resid_pre" if structure.kinds[None, layer] == "single" else "resid_mid"
        stream = structure.sites.get(SiteName(alone, layer))
        wanted = isinstance(ports[layer, None], str) and SiteName("mlp_out", layer) in structure.sites
        if wanted and stream is not None and structure.kinds[None, layer] != "post-norm":
            streams[layer] = stream
    if not streams:
        return
    norms = NormReaders.of(network, [*streams.values(), *(network.site(f"L{layer}.mlp_out") for layer in streams)])
    found = {layer: next(norms.ports(stream, ()), None) for layer, stream in streams.items()}
    outs = {network.site(f"L{layer}.mlp_out"): [port.site] for layer, port in found.items() if port is not None}
    wrong = norms.seen.undecided(outs)
    for layer, port in found.items():
        if port is not None and network.site(f"L{layer}.mlp_out") not in wrong:
            ports[layer, None] = port
