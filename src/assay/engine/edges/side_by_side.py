"""Two streams that go from layer to layer side by side (Reformer's reversible layers): both are one, as wide as both.

    y1 = x1 + attention(x2)        y2 = x2 + mlp(y1)        logits read y1 and y2

Where logits are made of more than one stream, and each layer hands on another tensor of its shape that the next one takes in
under the same name, the two are what it reads and writes. Whether that is all must be shown as for any layer (`blocks.py`).
Cost: a traced pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product

import torch
from torch import Tensor

from assay.core.sites import SiteName
from assay.engine.edges.twice import Twice
from assay.engine.passes import on_device
from assay.models.ports import Key, Port
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.trace import Event, trace
from assay.models.views import WHOLE

BOTH = "both_resid_pre"
"""The site of two streams in front of a layer."""


def side_by_side(seen: Twice, ends: Mapping[int, tuple[Site, Site]]) -> dict[int, tuple[Site, Site]]:
    """For each layer, from where a stream enters and leaves it, the two streams in front of it and behind it; or nothing."""
    taps = [site.tap for both in ends.values() for site in both]
    if not all(isinstance(tap, Direct) and tap.view == WHOLE for tap in taps):
        return {}
    with torch.no_grad():
        calls = {(e.path, e.call): e for e in trace(seen.network.native, on_device(seen.network, seen.inputs)).events}
    ports = [(enters.tap.port, leaves.tap.port) for enters, leaves in ends.values()]
    if any(enters.module != leaves.module for enters, leaves in ports):
        return {}
    events = [calls[enters.module, enters.call] for enters, _ in ports]
    first, (enters, leaves) = events[0], ports[0]
    for more_in, more_out in product(_others(first.inputs, enters.key), _others(first.outputs, leaves.key)):
        if all(_handed_on(before, more_out, after, more_in) for before, after in pairwise(events)):
            keys_in, keys_out = (more_in, enters.key), (more_out, leaves.key)
            return {
                layer: (_both(BOTH, layer, one, keys_in), _both("both_resid_post", layer, two, keys_out))
                for layer, (one, two) in ends.items()
            }
    return {}


def _others(tensors: Mapping[Key, Tensor], stream: Key) -> list[Key]:
    """Other tensors of a stream's shape."""
    return [key for key, value in tensors.items() if key not in (stream, None) and value.shape == tensors[stream].shape]


def _handed_on(before: Event, out: Key, after: Event, taken: Key) -> bool:
    return out in before.outputs and taken in after.inputs and torch.equal(before.outputs[out], after.inputs[taken])


def _both(name: str, layer: int, stream: Site, keys: tuple[Key, Key]) -> Site:
    port, width = stream.tap.port, {"d_model": 2 * stream.sizes["d_model"]}
    tap = Direct(Port(port.module, port.side, keys, port.call))  # type: ignore[arg-type]
    return Site(SiteName(name, layer), stream.axes, width, True, tap)
