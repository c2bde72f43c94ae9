"""A layer's attention, or whatever else mixes positions in it, as one part: how it reads the stream, and what it adds.

For layers whose heads can't be told apart: recurrent mixers, latent attention, attention with a gate of its own, attention
beside a recurrent mixer. Nothing is guessed: with its input taken from another run it must add what it adds there, whatever
other layers read at the time, and what it reads must be read by nothing else in its layer. Cost: about 2 · log2(layers) + 3
passes on the example inputs for each place that is tried, once for each model that has such layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from assay.core.sites import SiteName
from assay.engine.edges.norm_readers import NormReaders
from assay.engine.edges.reading import Port, same
from assay.engine.edges.twice import Twice
from assay.models.network import Network
from assay.models.structure import Site
from assay.models.taps import Sum

OUTPUTS = ("attn_out", "ssm_out")
"""Sites of what mixes positions in a layer."""


@dataclass(frozen=True)
class Mixer:
    """All that mixes positions in a layer: where its input is put, and the site that holds what it adds."""

    port: Port
    added: Site


def mixer_outputs(network: Network, layer: int) -> tuple[Site, ...]:
    """The sites of what mixes positions in a layer: one, two side by side, or none."""
    sites = network.structure.sites
    return tuple(sites[name] for name in (SiteName(out, layer) for out in OUTPUTS) if name in sites)


def find_mixers(network: Network, depth: int) -> dict[int, Mixer | str]:
    """For each layer its mixer, or why it is not known."""
    outputs = {layer: _added(network, layer) for layer in range(depth)}
    found: dict[int, Mixer | str] = {layer: out for layer, out in outputs.items() if isinstance(out, str)}
    added = {layer: out for layer, out in outputs.items() if not isinstance(out, str)}
    if not added:
        return found
    sites = network.structure.sites
    streams = {layer: network.site(f"L{layer}.resid_pre") for layer in added}
    entries = {layer: list(_entries(network, layer)) for layer in added}
    mlps = {layer: sites[name] for layer in added if (name := SiteName("mlp_out", layer)) in sites}
    known = [*streams.values(), *added.values(), *mlps.values(), *(site for some in entries.values() for site in some)]
    sums = {layer: sites[name] for layer in added if (name := SiteName("resid_mid", layer)) in sites}
    norms = NormReaders.of(network, [*known, *sums.values()])
    places = {layer: list(norms.ports(streams[layer], entries[layer])) for layer in added}
    for layer, ports in places.items():
        if network.structure.kinds[None, layer] == "post-norm":  # its output may be added to its input within the place
            ports += [replace(port, leaves=sums[layer]) for port in ports if port.reading.scale is None]
    found |= dict.fromkeys(added, "what it reads is not the stream through a norm")
    while left := {layer: Mixer(ports.pop(0), added[layer]) for layer, ports in places.items() if ports}:
        wrong = _unfit(norms.seen, left, streams, mlps)
        for layer, mixer in left.items():
            found[layer] = wrong.get(layer, mixer)
            places[layer] = places[layer] if layer in wrong else []
    return found


def _added(network: Network, layer: int) -> Site | str:
    """The site that holds all that mixes positions in a layer adds to the stream."""
    outs = mixer_outputs(network, layer)
    if SiteName("cross_attn_out", layer) in network.structure.sites:
        return "it attends to something else than this stream too"
    if not outs:
        return "nothing in it is known to mix positions"
    if len(outs) == 1:
        return outs[0]
    middle = network.structure.sites.get(SiteName("resid_mid", layer))
    if middle is None or not isinstance(middle.tap, Sum) or len(middle.tap.base) != 2:
        return "what its two mixers add together is not known"
    both = Sum(middle.tap.base[1:], middle.tap.port, middle.tap.view)
    return Site(SiteName(" + ".join(OUTPUTS), layer), middle.axes, middle.sizes, True, both)


def _entries(network: Network, layer: int) -> Iterator[Site]:
    """The sites that are known to be read by the only mixer of a layer, the widest first."""
    outs, sites = mixer_outputs(network, layer), network.structure.sites
    if len(outs) > 1:
        return
    entry = sites.get(SiteName("attn_in" if outs[0].name.name == "attn_out" else "ssm_in", layer))
    if entry is not None:
        yield entry
    query = sites.get(SiteName("q", layer))
    if query is not None and network.structure.kinds[None, layer] == "post-norm":
        inner = query.tap.port.module.rpartition(".")[0]  # the widest may hold the sum of its input and its output
        if inner and not (entry is not None and entry.tap.port.module == inner):
            yield network.site(f"native:{inner}:in")


def _unfit(
    seen: Twice, mixers: Mapping[int, Mixer], streams: Mapping[int, Site], mlps: Mapping[int, Site]
) -> dict[int, str]:
    """Of mixers as they are supposed to be, those that are not so, and why."""
    if not seen.there:
        return dict.fromkeys(mixers, "there are no example tokens to try it on")
    here, there, wrong = seen.here, seen.there, dict[int, str]()
    for bit in range(max(1, max(mixers).bit_length())):  # any two layers differ in some bit of their number
        for one in (0, 1):
            side = {layer: there if layer >> bit & 1 == one else here for layer in mixers}
            values = {mixer.port.site: side[layer][mixer.port.site] for layer, mixer in mixers.items()}
            passed = seen.under(values, [mixer.added for mixer in mixers.values()])
            for layer, mixer in mixers.items():
                if mixer.added not in passed or not same(passed[mixer.added], side[layer][mixer.added]):
                    wrong[layer] = "it reads something else than the stream through one norm"
    values = {streams[layer]: here[streams[layer]] for layer in mixers}
    values |= {mixer.port.site: there[mixer.port.site] for mixer in mixers.values()}
    values |= {mixer.added: here[mixer.added] for mixer in mixers.values()}
    values |= {leaves: here[leaves] for mixer in mixers.values() if (leaves := mixer.port.leaves) is not None}
    passed = seen.under(values, mlps.values())
    for layer in mixers.keys() & mlps.keys():
        if mlps[layer] not in passed or not same(passed[mlps[layer]], here[mlps[layer]]):
            summed = seen.network.structure.kinds[None, layer] == "post-norm"
            wrong.setdefault(
                layer,
                "its input is also what its output is added to"
                if summed
                else "the norm that it reads the stream through is the MLP's too",
            )
    return wrong
