"""Whether cutting edges does in a model what it should: tried once, on the model's example inputs.

With every edge cut, each part reads what it would in the other run, so the output must be the other run's. That fails where
something else than the known parts writes to the stream or reads it, or logits are made of something else. Cost: three passes
on the example inputs, once for each model, and again where other layers, or their mixers, are taken as one part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.edge_names import BLOCK, MIXER, SLOTS, Receiver, Sender
from assay.core.errors import SiteError
from assay.engine.edges.mixers import Mixer
from assay.engine.edges.rewire import Rewire, cuts
from assay.engine.edges.twice import REFUSED, other_inputs
from assay.engine.edges.wiring import Wiring
from assay.engine.passes import Kept, forward

_TRIED: WeakKeyDictionary[nn.Module, dict[tuple[frozenset[int], frozenset[int]], str | None]] = WeakKeyDictionary()


def refuse_untrue(wiring: Wiring, parts: Iterable[Sender | Receiver]) -> None:
    """Raise SiteError where cutting every edge does not give the other run, in a graph that has these parts."""
    every = list(parts)
    tried = _TRIED.setdefault(wiring.network.native, {})
    whole, blocks = wiring.whole_among(every), wiring.blocks_among(every)
    for layer in whole:
        wiring.mixer(layer)
    for layer in blocks:
        wiring.block(layer)
    if (whole, blocks) not in tried:
        tried[whole, blocks] = _why_not(wiring.among(every), whole, blocks)
    why = tried[whole, blocks]
    if why is not None:
        raise SiteError(f"edges can't be cut in this model: {why}.")


def everything(
    wiring: Wiring, whole: Collection[int], blocks: Collection[int] = ()
) -> tuple[list[Sender], list[Receiver]]:
    """All parts of a network whose way of reading and writing is known; keys and values as they are shared.

    `whole` are the layers whose mixer is one part, `blocks` those that are one part themselves.
    """
    senders, receivers = [Sender()], list[Receiver]()
    for layer in range(wiring.depth):
        if layer in blocks:
            senders.append(Sender(layer, block=True))
            receivers.append(Receiver(layer, slot=BLOCK))
            continue
        if layer in whole:
            if isinstance(wiring.mixers[layer], Mixer):
                senders.append(Sender(layer, mixer=True))
                receivers.append(Receiver(layer, slot=MIXER))
        else:
            heads, read = _heads(wiring, layer)
            senders += heads
            receivers += read
        if not isinstance(wiring.ports[layer, None], str):
            receivers.append(Receiver(layer))
        if wiring.network.why_not(f"L{layer}.mlp_out") is None:
            senders.append(Sender(layer))
    return senders, [*receivers, Receiver()]


def _heads(wiring: Wiring, layer: int) -> tuple[list[Sender], list[Receiver]]:
    senders, receivers, heads = list[Sender](), list[Receiver](), wiring.heads.get(layer)
    if heads is not None and not isinstance(heads, str):
        senders = [Sender(layer, head) for head in range(heads.z.sizes["head"])]
    for slot in ("q",) if layer in wiring.keys else SLOTS:
        port = wiring.ports.get((layer, slot))
        if port is not None and not isinstance(port, str):
            sizes = port.site.sizes
            count = sizes.get("kv_head", sizes.get("head", 0))
            receivers += [Receiver(layer, head, slot, shared=slot != "q") for head in range(count)]
    return senders, receivers


def _why_not(wiring: Wiring, whole: Collection[int], blocks: Collection[int]) -> str | None:
    network = wiring.network
    senders, receivers = everything(wiring, whole, blocks)
    kept = torch.zeros(1, len(senders), len(receivers))
    for inputs in network.examples:
        other = other_inputs(network, inputs)
        if other is None:
            return "there are no example tokens to try it on"
        try:
            sites = wiring.carried(senders, receivers)
            there = forward(network, other, keep=dict.fromkeys([*sites, wiring.last]), once=True)
            cut = Rewire(wiring, cuts(wiring, senders, receivers, kept), there.sites.__getitem__)
            here = forward(network, inputs, cut.changes())
        except REFUSED:
            continue
        exact = all(
            value.dtype in (torch.float32, torch.float64) for value in there.sites.values() if value.is_floating_point()
        )
        tolerance = 1e-3 if exact else 1e-1
        if _near(here.output, there.output, tolerance):
            return None
        return "with every edge cut it does not do what it does in the other run" + _unread(
            wiring, inputs, there, tolerance
        )
    return "there are no example inputs to try it on"


def _unread(wiring: Wiring, inputs: Mapping[str, Any], there: Kept, tolerance: float) -> str:
    """What logits have to do with the last stream, where that is not all that they are made of."""
    network, last = wiring.network, wiring.last
    plain = forward(network, inputs).output
    moved = forward(network, inputs, [(last, lambda _: there.sites[last])]).output
    if _near(moved, there.output, tolerance):
        return ""
    read = "do not read" if _near(moved, plain, 1e-6) else "are made of more than"
    return f": logits {read} the stream that leaves {last.tap.port.module}"


def _near(left: Tensor | None, right: Tensor | None, tolerance: float) -> bool:
    if left is None or right is None or left.shape != right.shape:
        return False
    return float((left - right).abs().max()) <= tolerance * float(right.abs().max())
