"""Earlier tensors that come into a layer once more: a term of what it hands on, or an earlier stream among its arguments.

    x_4 = norm(y_3) + a       a was made before layer 3, and is given to it        (loops that start from one input: Dory)
    L5(x_5, [x_0, x_3])       streams that entered earlier layers, side by side    (attention over layers: Inkling 2)
    x_6 = x_2                 the stream starts again from an earlier one          (Inkling 2 in loops)

A term is found by its sum, number for number; an earlier stream by its numbers, in both runs. What an edge into such a layer
carries then reaches it in each of these streams. Of an argument that a module makes right in front of the layer it is told what
that module reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from assay.core.edge_names import BLOCK, Receiver
from assay.core.sites import SiteName
from assay.engine.edges.behind import calls_of
from assay.engine.edges.reading import Earlier
from assay.engine.edges.twice import Twice
from assay.models.ports import FIRST, Key, Port
from assay.models.structure import Site
from assay.models.taps import Addend, Direct
from assay.models.trace import Event
from assay.models.views import Pick


def terms(events: Sequence[Event], enters: Site, leaves: Site, layer: int) -> Iterator[Site]:
    """Tensors made before a layer that are added to what comes out of it, before it hands on the sum."""
    port = leaves.tap.port
    if port.side != "in" or not isinstance(leaves.tap, Direct):
        return
    calls = list(calls_of(events, enters, leaves))
    sums = next(e.inputs for e in events if e.path == port.module and e.call == port.call)
    whole = next(iter(sums.values())) if port.key == FIRST else sums[port.key]
    own = [tensor for event in calls for tensor in event.outputs.values() if tensor.shape == whole.shape]
    tried: list[Tensor] = []
    for event in (e for e in events if e.end < calls[0].start):
        for key, tensor in event.outputs.items():
            if tensor.shape != whole.shape or any(torch.equal(tensor, each) for each in tried):
                continue
            tried.append(tensor)
            if torch.equal(tensor, whole) or any(torch.equal(each + tensor, whole) for each in own):
                view = leaves.tap.view
                tap = Addend(Port(event.path, "out", key, event.call), port, view, view)
                yield Site(SiteName(f"term_{len(tried)}", layer), leaves.axes, leaves.sizes, True, tap)


def around(events: Sequence[Event], enters: Site, leaves: Site) -> tuple[list[Event], list[Event], Port | None]:
    """The calls of a layer and behind it; the one in front of it that makes an argument of it, and that argument."""
    calls, port = list(calls_of(events, enters, leaves)), leaves.tap.port
    after = next((e for e in events if (e.path, e.call) == (port.module, port.call) and port.side == "in"), None)
    theirs = [] if after is None else _maker(events, after, port.key)[0]
    before, made = _maker(events, calls[0], enters.tap.port.key)
    return [call for call in calls if not any(call is each for each in theirs)], before, made


def _maker(events: Sequence[Event], call: Event, stream: Key) -> tuple[list[Event], Port | None]:
    for event in (each for each in events if each.end == call.start - 1):
        made = [
            key
            for key, read in call.inputs.items()
            if any(out.shape == read.shape and torch.equal(out, read) for out in event.outputs.values())
        ]
        if made and stream not in made:  # else it is the layer before
            return [event], Port(call.path, "in", made[0], call.call)
    return [], None


def parted(site: Site, seen: Twice, streams: Mapping[int, Site]) -> list[Site]:
    """An argument as the earlier streams that stand side by side in it; itself where it holds none."""
    value, like = seen.here[site], next(iter(streams.values()))
    if not isinstance(site.tap, Direct) or value.ndim != 4 or value.shape[-1] != like.sizes.get("d_model"):
        return [site]
    pieces = [
        Site(
            SiteName(f"{site.name.name}_{at}", site.name.layer), like.axes, like.sizes, True,
            Direct(site.tap.port, site.tap.view.then(Pick(2, at))),
        )
        for at in range(value.shape[2])
    ]  # fmt: skip
    known = [
        any(torch.equal(value[:, :, at], seen.here[each]) for each in streams.values()) for at in range(len(pieces))
    ]
    return pieces if any(known) else [site]


def earlier_streams(sites: Sequence[Site], seen: Twice, streams: Mapping[int, Site]) -> tuple[Earlier, ...]:
    """Of what a layer is given, the streams that entered it or earlier layers than it, but the first: that is the embedding."""
    found = []
    for site in sites:
        for layer, stream in streams.items():
            here, there = (torch.equal(values[site], values[stream]) for values in (seen.here, seen.there))
            if here and there and 0 < layer <= (site.name.layer or 0):
                found.append(Earlier(site, layer))
                break
    return tuple(found)


def read_again(
    earlier: Earlier, delta: Callable[[Receiver, Tensor], Tensor]
) -> tuple[Site, Callable[[Tensor], Tensor]]:
    """An earlier stream as a part reads it: with the ablated values of its cut senders, by `delta` of that layer's stream."""
    return earlier.site, lambda value: value + delta(Receiver(earlier.layer, slot=BLOCK), value)[:, 0]
