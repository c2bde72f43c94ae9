"""MLPs that are all the rest of a layer behind its attention: several branches that read the stream in turn.

Gemma 4's small models add what an embedding of the layer's own brings, gated by the stream that already has what the MLP
wrote; its mixtures of experts read the stream as it is and through two norms. No one tensor is such an MLP's input. But as a
whole layer can (`blocks.py`), the rest of one can get an input of its own: it is put into the stream behind attention, and
taken out again behind the layer. What it writes is `mlp_out`, the sum of its branches.

Shown as for whole layers: with its input, and what it is given beside it, from another run it writes what it writes there,
whatever other layers read. Cost: that of `blocks.py`, and about 2 · log2(layers) + 2 passes, where a layer has such an MLP.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay.core.sites import SiteName
from assay.engine.edges.blocks import Block
from assay.engine.edges.reading import Port, Reading, same
from assay.engine.edges.twice import Twice
from assay.models.network import Network
from assay.models.structure import Site
from assay.models.taps import Sum


def rests(network: Network, wanted: Mapping[int, Block | str]) -> dict[int, Port]:
    """Of layers as blocks, those whose MLP is all the rest of them: how it reads."""
    sites, ports, outs = network.structure.sites, dict[int, Port](), dict[int, Site]()
    for layer, block in wanted.items():
        stream, out = (sites.get(SiteName(name, layer)) for name in ("resid_mid", "mlp_out"))
        one_after_another = network.structure.kinds[None, layer] == "sequential"
        if stream is None or out is None or isinstance(block, str) or not isinstance(stream.tap, Sum):
            continue
        if one_after_another and SiteName("cross_attn_out", layer) not in sites:
            given = tuple(each for each in block.port.given if each.sender.layer is None)
            ports[layer] = Port(stream, Reading(stream, None), leaves=block.leaves, given=given, scaled=layer)
            outs[layer] = out
    if not ports:
        return {}
    read = {layer: [port.site, *(each.site for each in port.given)] for layer, port in ports.items()}
    seen = Twice.of(network, [*outs.values(), *(site for some in read.values() for site in some)])
    wrong = set(ports) if not seen.there else set[int]()
    for bit in range(max(1, max(ports).bit_length()) if seen.there else 0):
        for one in (0, 1):
            side = {layer: seen.there if layer >> bit & 1 == one else seen.here for layer in ports}
            values = {site: side[layer][site] for layer, some in read.items() for site in some}
            passed = seen.under(values, outs.values())
            wrong |= {at for at, out in outs.items() if out not in passed or not same(passed[out], side[at][out])}
    return {layer: port for layer, port in ports.items() if layer not in wrong}
