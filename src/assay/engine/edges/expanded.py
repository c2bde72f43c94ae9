"""Keys and values of their own for query heads that share them.

Native code projects one key for several query heads. To give each query head its own, the projection's output is widened
to as many heads as there are queries; native code goes on to view, normalise and rotate them as it would; and attention is
computed once for each member of the groups, in the shapes that native code expects, of which its own heads are taken. So
soft caps, sinks and windows stay the architecture's own. Cost: attention itself (not its projections) as many times as
heads share a key.

Where a model's code can't take wider keys, that shows in one trial, whose reason is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.errors import SiteError
from assay.core.sites import SiteName
from assay.engine.edges.twice import REFUSED
from assay.engine.hooks import Change
from assay.engine.passes import forward
from assay.models.attention import IMPLEMENTATION, Attend, attending, native_functions, using
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.structure import Site
from assay.models.taps import Direct
from assay.models.views import Heads, View


def group_size(network: Network, layer: int) -> int:
    """How many query heads share a key in a layer."""
    q, k = network.site(f"L{layer}.q"), network.site(f"L{layer}.k")
    return q.sizes["head"] // k.sizes["kv_head"]


def widened(value: Tensor, size: int) -> Tensor:
    """[batch, pos, kv_head, d_head] with a copy for each query head."""
    return value.repeat_interleave(size, 2)


def widening(site: Site, size: int) -> tuple[Change, Site]:
    """The change that widens keys or values at a site, and the site as it is read afterwards."""
    tap = site.tap
    assert isinstance(tap, Direct)  # others are refused
    wide = replace(tap, view=View((Heads(site.sizes["kv_head"] * size),)))
    return (lambda value: widened(value, size)), replace(site, tap=wide)


def parting(network: Network, function: Callable[[nn.Module], Attend]) -> Attend:
    """Attention that takes keys and values of as many heads as there are queries, beside its usual ones."""
    shared = {}
    for site in network.structure.sites.values():
        if site.name.name == "k_rot" and site.name.stack is None:  # also of layers that take over another's keys
            shared[id(network.modules[site.tap.port.module])] = site.sizes["kv_head"]

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **rest: Any
    ) -> tuple[Tensor, Tensor | None]:
        native, heads = function(module), query.shape[1]
        size = heads // shared.get(id(module), heads)
        if size == 1 or (key.shape[1] != heads and value.shape[1] != heads):
            return native(module, query, key, value, mask, **rest)
        found = []
        for member in range(size):
            own = [each[:, member::size] if each.shape[1] == heads else each for each in (key, value)]
            out, _ = native(module, query, *own, mask, **rest)
            found.append(out[:, :, member::size])
        return torch.stack(found, 3).flatten(2, 3), None

    return attend


@contextmanager
def own_keys(network: Network) -> Iterator[None]:
    """In this context attention takes keys and values of their own for query heads that share them."""
    attend = parting(network, native_functions(network.holders))
    with using(network.holders, IMPLEMENTATION), attending(attend):
        yield


def refuse_shared(network: Network) -> None:
    """Raise SiteError where this model's code can't be given keys and values for each query head."""
    if network.native not in _TRIED:
        _TRIED[network.native] = _why_not(network)
    why = _TRIED[network.native]
    if why is not None:
        raise SiteError(
            f"query heads that share a key or value can't be given one of their own in this model: {why}. Use edges into "
            "the shared heads: grouped=True (L3.KV0.k)."
        )


_TRIED: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


def _why_not(network: Network) -> str | None:
    if network.structure.implementation != IMPLEMENTATION:
        return "its attention is not reached through transformers' interface"
    sites = [s for s in network.structure.sites.values() if s.name.name in ("k", "v") and s.name.stack is None]
    for site in sites:
        tap = site.tap
        if not isinstance(tap, Direct) or len(tap.view.steps) != 1 or not isinstance(tap.view.steps[0], Heads):
            return f"{site} is a part of a projection that gives more than it"
        if SiteName("q_rot", site.layer) not in network.structure.sites:
            return str(network.why_not(f"L{site.layer}.q_rot"))
    changes = [(site, widening(site, group_size(network, site.layer or 0))[0]) for site in sites]
    for inputs in network.examples:
        try:
            plain = forward(network, inputs)
        except REFUSED:
            continue
        try:
            with own_keys(network):
                wide = forward(network, inputs, changes)
        except CANNOT_RUN as error:
            return f"its code does not take them ({type(error).__name__}: {str(error).splitlines()[0][:100]})"
        return _difference(plain.output, wide.output)
    return "there are no example inputs to try it on"


def _difference(plain: Tensor | None, wide: Tensor | None) -> str | None:
    if plain is None or wide is None or plain.shape != wide.shape:
        return "its output could not be compared"
    tolerance = 1e-4 if plain.dtype in (torch.float32, torch.float64) else 5e-2
    missed = float((plain - wide).abs().max())
    return None if missed <= tolerance * float(plain.abs().max()) else "copies of the shared ones change its output"


def refuse_inside(sites: Sequence[Site]) -> None:
    """Raise SiteError where what is computed once for each member of a group would be read or changed."""
    inside = next((site for site in sites if site.tap.port.in_attention), None)
    if inside is not None:
        raise SiteError(
            f"{inside} can't be read or changed in a run with edges into keys or values of single query heads that share "
            "them: attention is computed several times there. Use grouped=True, or another run."
        )
