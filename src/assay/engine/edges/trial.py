"""Whether cutting edges does in a model what it should: tried once, on the model's example inputs.

With every edge cut, each part reads what it would in the other run, so the output must be the other run's. That fails where
a block is called several times, something else than the known parts writes to the stream, or reads it. Cost: three passes
on the example inputs, once for each model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.edge_names import SLOTS, Receiver, Sender
from assay.core.errors import SiteError
from assay.engine.edges.rewire import Rewire, cuts
from assay.engine.edges.wiring import Wiring
from assay.engine.passes import forward
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN

_TRIED: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


def refuse_untrue(wiring: Wiring) -> None:
    """Raise SiteError where cutting every edge does not give the other run."""
    native = wiring.network.native
    if native not in _TRIED:
        _TRIED[native] = _why_not(wiring)
    why = _TRIED[native]
    if why is not None:
        raise SiteError(f"edges can't be cut in this model: {why}.")


def everything(wiring: Wiring) -> tuple[list[Sender], list[Receiver]]:
    """All parts of a network whose way of reading and writing is known; keys and values as they are shared."""
    senders, receivers = [Sender()], list[Receiver]()
    for layer in range(wiring.depth):
        heads = wiring.heads.get(layer)
        if heads is not None and not isinstance(heads, str):
            senders += [Sender(layer, head) for head in range(heads.z.sizes["head"])]
        for slot in SLOTS:
            port = wiring.ports.get((layer, slot))
            if port is not None and not isinstance(port, str):
                sizes = port.site.sizes
                count = sizes.get("kv_head", sizes.get("head", 0))
                receivers += [Receiver(layer, head, slot, shared=slot != "q") for head in range(count)]
        if not isinstance(wiring.ports[layer, None], str):
            receivers.append(Receiver(layer))
        if wiring.network.why_not(f"L{layer}.mlp_out") is None:
            senders.append(Sender(layer))
    return senders, [*receivers, Receiver()]


def _why_not(wiring: Wiring) -> str | None:
    network = wiring.network
    senders, receivers = everything(wiring)
    kept = torch.zeros(1, len(senders), len(receivers))
    for inputs in network.examples:
        other = _other(network, inputs)
        if other is None:
            return "there are no example tokens to try it on"
        try:
            sites = [wiring.written(sender) for sender in senders]
            there = forward(network, other, keep=dict.fromkeys(sites), once=True)
            cut = Rewire(wiring, cuts(wiring, senders, receivers, kept), there.sites.__getitem__)
            here = forward(network, inputs, cut.changes())
        except CANNOT_RUN:
            continue
        return (
            None
            if _near(here.output, there.output)
            else "with every edge cut it does not do what it does in the other run"
        )
    return "there are no example inputs to try it on"


def _other(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The inputs with their tokens in another order."""
    name = network.token_argument if network.token_argument in inputs else "input_ids"
    tokens = inputs.get(name)
    return {**inputs, name: tokens.flip(-1)} if isinstance(tokens, Tensor) else None


def _near(left: Tensor | None, right: Tensor | None) -> bool:
    if left is None or right is None or left.shape != right.shape:
        return False
    tolerance = 1e-3 if right.dtype in (torch.float32, torch.float64) else 1e-1
    return float((left - right).abs().max()) <= tolerance * float(right.abs().max())
