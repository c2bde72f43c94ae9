"""What lies between layers that are called again and again by turns: a norm, and the sum of two streams (HRM).

    what L8 reads = norm(stream behind L7) + norm(stream behind L5)

Each call of such a layer is a layer of its own. Norms and sums between calls are part of what a receiver reads, as norms
within post-norm blocks are (`stream_norms.py`): it goes the whole way again, with other values of what is cut, each stream
kept until it is added. What is added is always handed on earlier, by another call or by the embedding.

Nothing is guessed: between two runs, what the next layer reads must change as the norm's output and what is added do
together, and the norm must give by itself what it gives in the model. Cost: a traced pass, and two on the example inputs, for
models in which something happens to the stream between layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from assay.core.edge_names import Sender
from assay.core.sites import SiteName
from assay.engine.edges.reading import same
from assay.engine.edges.stream_norms import StreamNorm, gives
from assay.engine.edges.stream_scales import StreamStep
from assay.engine.edges.twice import Twice
from assay.engine.passes import on_device
from assay.models.network import Network
from assay.models.ports import Port
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.trace import Event, trace
from assay.models.views import WHOLE


def stream_joins(network: Network, depth: int, seen: Twice) -> dict[int, StreamNorm]:
    """By layer, the norm between it and the next, with what is added behind it; none where that is not so."""
    ends = {layer: _ends(network, layer) for layer in range(depth - 1)}
    if not seen.there or not any(both and not _equal(seen, *both) for both in ends.values()):
        return {}
    with torch.no_grad():
        events = trace(network.native, on_device(network, seen.inputs)).events
    places = {layer: list(_norms(events, layer, both[0], seen)) for layer, both in ends.items() if both}
    more = Twice.of(network, [*seen.here, *(place.after for some in places.values() for place in some)])
    found, earlier = dict[int, StreamNorm](), [network.site("L0.resid_pre")]
    for layer, both in ends.items():
        if both is None or _equal(seen, *both):
            continue
        for place in places[layer]:
            adds = _added(more, place.after, both[1], earlier)
            if adds is not None and gives(network, place, more.here):
                found[layer] = StreamNorm(
                    place.module, place.part, place.before, place.after, True, next(iter(adds), None)
                )
                earlier.append(place.after)
                break
    return found


def _ends(network: Network, layer: int) -> tuple[Site, Site] | None:
    """The stream behind a layer, and in front of the next."""
    sites = network.structure.sites
    behind, before = sites.get(SiteName("resid_post", layer)), sites.get(SiteName("resid_pre", layer + 1))
    whole = all(
        isinstance(site.tap, Direct) and site.tap.view == WHOLE for site in (behind, before) if site is not None
    )
    return (behind, before) if behind is not None and before is not None and whole else None


def _equal(seen: Twice, left: Site, right: Site) -> bool:
    return same(seen.here[left], seen.here[right])


def _norms(events: Sequence[Event], layer: int, behind: Site, seen: Twice) -> Iterator[StreamNorm]:
    """Modules that read the stream behind a layer and give another one."""
    port = behind.tap.port
    over = next(event.end for event in events if event.path == port.module and event.call == port.call)
    for event in (each for each in events if each.start > over):
        if len(event.inputs) == len(event.outputs) == 1:
            (x,), ((key, out),) = event.inputs.values(), event.outputs.items()
            if out.shape == x.shape and torch.equal(x, seen.here[behind]):
                tap = Direct(Port(event.path, "out", key, event.call))
                after = Site(SiteName("stream_join", layer), behind.axes, behind.sizes, False, tap)
                yield StreamNorm(event.path, Sender(layer), behind, after)


def _added(seen: Twice, after: Site, read: Site, earlier: Sequence[Site]) -> tuple[Site, ...] | None:
    """What makes up, with a norm's output, the changes of what is read between two runs: nothing, or one earlier stream."""
    change = {site: seen.there[site] - seen.here[site] for site in (after, read, *earlier)}
    if same(change[after], change[read]):
        return ()
    return next(((site,) for site in reversed(earlier) if same(change[after] + change[site], change[read])), None)


def moved_on(total: Tensor, norm: StreamStep, kept: dict[Site, Tensor]) -> Tensor:
    """A change behind a norm as a change of what the next layer reads; those that are added later are kept."""
    if not norm.between:
        return total
    kept[norm.after] = total
    return total if norm.adds is None or norm.adds not in kept else total + kept[norm.adds]


def gone_back(gradient: Tensor, norm: StreamStep, later: dict[Site, Tensor]) -> Tensor:
    """A gradient at what the next layer reads as one behind the norm; that at what is added is kept until its turn."""
    if norm.adds is not None:
        later[norm.adds] = later[norm.adds] + gradient if norm.adds in later else gradient
    return gradient + later.pop(norm.after) if norm.after in later else gradient
