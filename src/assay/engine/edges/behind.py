"""What happens to the stream behind a layer, before the next one reads it or the logits are made of it: part of that layer.

A norm between two groups of layers, an earlier tensor that is added once more, attention over what earlier layers handed on:
the layer as one part hands on the stream where it is read next, and not where its module returns it. For the last layer that
is the first place behind it at which the other run's values make the whole output the other run's. Cost: nothing where nothing
happens; behind the last layer two passes on the example inputs, and one for each place that is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.core.sites import SiteName
from assay.engine.edges.reading import same
from assay.engine.edges.twice import Twice, other_inputs
from assay.engine.passes import forward, on_device
from assay.models.ports import FIRST
from assay.models.ports import Port as ModulePort
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.trace import Event, trace


def hands_on(seen: Twice, enters: Mapping[int, Site], leaves: Mapping[int, Site], depth: int) -> dict[int, Site]:
    """Where each layer hands on its stream: what its module returns, or where something that happens to it behind is done."""
    found = dict(leaves)
    for layer, site in leaves.items():
        after = enters.get(layer + 1)
        if after is not None and (after.tap == site.tap or not same(seen.here[site], seen.here[after])):
            found[layer] = after  # at one place two names would hide each other
    last = leaves.get(depth - 1)
    if last is not None and not decides_output(seen, last):
        found[depth - 1] = _first_that_decides(seen, last) or last
    return found


def decides_output(seen: Twice, site: Site) -> bool:
    """Whether the output is the other run's when the value at a site is."""
    other = other_inputs(seen.network, seen.inputs)
    if other is None:
        return False
    wanted = forward(seen.network, other).output
    found = forward(seen.network, seen.inputs, [(site, lambda _: seen.there[site])]).output
    return wanted is not None and found is not None and same(found, wanted)


def calls_of(events: Sequence[Event], enters: Site, leaves: Site) -> Iterator[Event]:
    """The module calls between two places of the stream that lie in no other: the layer's own, and those behind it."""
    first = _call(events, enters.tap.port)
    yield first
    port, end = leaves.tap.port, first.end
    until = _call(events, port).end if port.side == "out" else _call(events, port).start - 1
    for event in events:  # in order of their start
        if event.start > end and event.end <= until:
            end = event.end
            yield event


def _call(events: Sequence[Event], port: ModulePort) -> Event:
    return next(event for event in events if event.path == port.module and event.call == port.call)


def _first_that_decides(seen: Twice, last: Site) -> Site | None:
    network = seen.network
    events = trace(network.native, on_device(network, seen.inputs)).events
    places = list(dict.fromkeys(_places(events, last)))
    both = Twice.of(network, places)
    return next((place for place in places if decides_output(both, place)), None)


def _places(events: Sequence[Event], last: Site) -> Iterator[Site]:
    """First tensors that modules read and return behind a layer, of its stream's shape, in forward order."""
    assert isinstance(last.tap, Direct)
    layer = _call(events, last.tap.port)
    shape = (
        layer.inputs[last.tap.port.key].shape if last.tap.port.side == "in" else layer.outputs[last.tap.port.key].shape
    )
    ends = [(event.start, "in", event, event.inputs) for event in events if event.start > layer.end]
    ends += [(event.end, "out", event, event.outputs) for event in events if event.end > layer.end]
    for _, side, event, tensors in sorted(ends, key=lambda end: end[0]):
        if tensors and event.path and not event.call and next(iter(tensors.values())).shape == shape:
            tap = Direct(ModulePort(event.path, "in" if side == "in" else "out", FIRST), last.tap.view)
            yield Site(SiteName(side, native=event.path), last.axes, last.sizes, True, tap)
