"""What logits are made of beside the last stream, where the tokens alone decide it: part of the edge `embed -> logits`.

BLT's decoder reads the stream of its transformer over patches of bytes, and the bytes themselves as its encoder left them. What
comes behind the last layer takes such tensors in by name; they must not change with any layer's stream, and with them and
the last stream from another run the output must be that run's. Cost: two passes on the example inputs, and a few more where
logits are made of more than the last stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from assay.core.edge_names import Sender
from assay.core.sites import SiteName
from assay.engine.edges.behind import decides_output
from assay.engine.edges.reading import Given, same
from assay.engine.edges.twice import Twice, other_inputs
from assay.engine.passes import forward, on_device
from assay.models.network import Network
from assay.models.ports import Port
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.trace import Event, trace


def read_by_logits(network: Network, depth: int, seen: Twice) -> tuple[Given, ...]:
    """What is given to the logits by the tokens alone; nothing where that is not all, or not needed."""
    streams = [network.structure.sites.get(SiteName("resid_pre", layer)) for layer in range(depth)]
    last, other = network.structure.sites.get(SiteName("resid_post", depth - 1)), other_inputs(network, seen.inputs)
    if last is None or None in streams or other is None or not seen.there or decides_output(seen, last):
        return ()
    alone = forward(network, seen.inputs, [(last, lambda _: seen.there[last])]).output
    plain = forward(network, seen.inputs).output
    if alone is None or plain is None or same(alone, plain):
        return ()  # nothing of it is read
    with torch.no_grad():
        events = trace(network.native, on_device(network, seen.inputs)).events
    places = list(_arguments(events, last, len(seen.here[last])))
    more = Twice.of(network, [*seen.here, *places])
    moved = more.under({site: more.there[site] for site in streams if site is not None}, places)
    own = [site for site in places if site in moved and same(moved[site], more.here[site])]
    changes = [(site, lambda _, site=site: more.there[site]) for site in (last, *own)]
    wanted, found = forward(network, other).output, forward(network, seen.inputs, changes).output
    right = wanted is not None and found is not None and same(found, wanted)
    return tuple(Given(site, Sender()) for site in own) if right else ()


def _arguments(events: Sequence[Event], last: Site, examples: int) -> Iterator[Site]:
    """What modules behind the last layer, that lie in no other such, take in for each example."""
    port = last.tap.port
    over = next(event.end for event in events if event.path == port.module and event.call == port.call)
    for event in events:
        if event.start > over:
            over = event.end
            for key, value in event.inputs.items():
                if value.ndim > 1 and len(value) == examples:
                    axes = ("batch", *(f"dim_{i}" for i in range(1, value.ndim)))
                    sizes = dict(zip(axes[1:], value.shape[1:], strict=True))
                    name = SiteName(f"given_{key}", native=event.path)
                    yield Site(name, axes, sizes, True, Direct(Port(event.path, "in", key, event.call)))
