"""A whole layer as one part, for layers whose parts are not known: it reads the stream, and writes what it adds to it.

    what L3.block writes = resid_post − resid_pre, whatever is computed in between (norms on the stream, multipliers, …)

So it is known wherever blocks hand on one stream; what must be shown is that a block reads nothing else. With its input
taken from another run it must hand on what it hands on there, whatever other layers read at the time. Where it reads more
(an argument that is made of the embedding, as Gemma 4's embedding for each layer; keys and values of an earlier layer; the
tokens that an earlier layer has chosen), each such tensor must come from one sender alone, and is then part of what that
sender writes for this layer. Layers that hand on a choice of tokens as they were given it decide nothing of it.

Cost: about 2 · log2(layers) + 3 passes on the example inputs, and as many as layers again where blocks read more; once for
each model in which it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from assay.core.edge_names import Sender
from assay.core.sites import SiteName
from assay.engine.edges.behind import decides_output, hands_on
from assay.engine.edges.reading import Given, Port, Reading, same
from assay.engine.edges.reentered import around, earlier_streams, parted, terms
from assay.engine.edges.side_by_side import BOTH, side_by_side
from assay.engine.edges.stream_scales import stream_scales
from assay.engine.edges.twice import Twice
from assay.engine.passes import on_device
from assay.models.network import Network
from assay.models.ports import Key
from assay.models.ports import Port as ModulePort
from assay.models.structure import Site
from assay.models.taps import Direct, Gain
from assay.models.trace import Event, trace

STREAM = ("resid_pre", "attn_out", "ssm_out", "cross_attn_out", "mlp_out", "resid_post")
"""Sites of a layer's stream and of what is known to add to it."""


@dataclass(frozen=True)
class Block:
    """A layer as one part: how it reads the stream and where it hands it on, and the site of what it adds."""

    port: Port
    added: Site

    @property
    def leaves(self) -> Site:
        """Where it hands on the stream."""
        assert self.port.leaves is not None  # a block's port has one
        return self.port.leaves


def find_blocks(network: Network, depth: int, joined: Collection[int | None] = ()) -> dict[int, Block | str]:
    """For each layer the whole of it as one part, or why it is none. `joined`: layers between which and the next it is known
    what happens to the stream."""
    sites = network.structure.sites
    plain, found = dict[int, Block](), dict[int, Block | str]()
    for layer in range(depth):
        enters, leaves = (sites.get(SiteName(name, layer)) for name in ("resid_pre", "resid_post"))
        if enters is None or leaves is None:
            found[layer] = "the stream that enters or leaves it is not known"
        else:
            plain[layer] = _block(layer, enters, leaves)
    if not plain:
        return found
    seen = Twice.of(network, [site for block in plain.values() for site in _ends(block)])
    if not seen.there:
        return found | dict.fromkeys(plain, "there are no example tokens to try it on")
    further = {at: block for at, block in _further(seen, plain, depth).items() if at not in joined}
    if further:
        plain |= further
        seen = Twice.of(network, [site for block in plain.values() for site in _ends(block)])
    if depth - 1 in plain and not decides_output(seen, plain[depth - 1].leaves):
        plain = {layer: _block(layer, *both) for layer, both in side_by_side(seen, _streams(plain)).items()} or plain
        seen = Twice.of(network, [site for block in plain.values() for site in _ends(block)])
        if not decides_output(seen, plain[depth - 1].leaves):
            return found | dict.fromkeys(plain, "logits are made of more than the stream that leaves the last layer")
    wrong = _unfit(seen, plain, joined)
    if wrong and len(plain) == depth:
        more = _with_given(seen, plain, wrong)
        known = [site for block in more.values() for site in _read(block)]
        again = Twice.of(network, [*seen.here, *known])
        wrong = _unfit(again, more, joined)
        plain = more
    return found | plain | wrong


def _further(seen: Twice, blocks: Mapping[int, Block], depth: int) -> dict[int, Block]:
    """The layers behind which something happens to the stream, with that as a part of them."""
    enters = {layer: block.port.site for layer, block in blocks.items()}
    ends = hands_on(seen, enters, {layer: block.leaves for layer, block in blocks.items()}, depth)
    return {
        layer: Block(replace(block.port, leaves=end), _added(block.port.site, end, layer))
        for layer, block in blocks.items()
        if (end := ends[layer]) != block.leaves
    }


def _block(layer: int, enters: Site, leaves: Site) -> Block:
    return Block(Port(enters, Reading(enters, None), leaves=leaves), _added(enters, leaves, layer))


def _streams(blocks: Mapping[int, Block]) -> dict[int, tuple[Site, Site]]:
    return {layer: (block.port.site, block.leaves) for layer, block in blocks.items()}


def _ends(block: Block) -> tuple[Site, Site, Site]:
    return block.port.site, block.leaves, block.added


def _added(enters: Site, leaves: Site, layer: int) -> Site:
    """What a block adds: the stream that leaves it less the one that entered."""
    assert isinstance(enters.tap, Direct) and isinstance(leaves.tap, Direct)
    tap = Gain((enters.tap.port, enters.tap.view), leaves.tap.port, leaves.tap.view)
    return Site(SiteName("block_out", layer), leaves.axes, leaves.sizes, True, tap)


def _unfit(seen: Twice, blocks: Mapping[int, Block], joined: Collection[int | None]) -> dict[int, str]:
    """Of blocks as they are supposed to be, those that are not so, and why."""
    here, wrong = seen.here, dict[int, str]()
    for bit in range(max(1, max(blocks).bit_length())):  # any two layers differ in some bit of their number
        for one in (0, 1):
            side = {layer: seen.there if layer >> bit & 1 == one else here for layer in blocks}
            values = {site: side[layer][site] for layer, block in blocks.items() for site in _read(block)}
            passed = seen.under(values, [block.leaves for block in blocks.values()])
            for layer, block in blocks.items():
                if block.leaves not in passed or not same(passed[block.leaves], side[layer][block.leaves]):
                    wrong[layer] = "it reads something else than the stream that enters it"
    for layer, block in blocks.items():
        enters, leaves, added = (here[site] for site in _ends(block))
        if not same(added + enters, leaves):
            wrong[layer] = "what it adds to the stream can't be told: native code writes into its input"
        elif layer + 1 in blocks and layer not in joined and not same(leaves, here[blocks[layer + 1].port.site]):
            wrong[layer] = "something happens to the stream between it and the next layer"
    return wrong


def _read(block: Block) -> tuple[Site, ...]:
    port = block.port
    return (port.site, *(each.site for each in port.given), *(each.site for each in port.earlier))


def _with_given(seen: Twice, blocks: Mapping[int, Block], wrong: Mapping[int, str]) -> dict[int, Block]:
    """The blocks with what they read beside their stream, as far as each such tensor comes from one sender alone."""
    with torch.no_grad():
        events = trace(seen.network.native, on_device(seen.network, seen.inputs)).events
    found = {layer: list(_arguments(events, blocks[layer], layer, seen)) for layer in wrong}
    inside = {layer: list(_keys_and_values(seen.network, layer)) for layer in wrong}
    streams = {layer: block.port.site for layer, block in blocks.items()}
    more = Twice.of(seen.network, [*seen.here, *(site for some in found.values() for site in some)])
    found = {layer: [each for site in some for each in parted(site, more, streams)] for layer, some in found.items()}
    every = [site for some in (*found.values(), *inside.values()) for site in some]
    more = Twice.of(seen.network, [*seen.here, *every])
    earlier = {layer: earlier_streams(some, more, streams) for layer, some in found.items()}
    known = {each.site for some in earlier.values() for each in some}
    moved = {site for site in every if site not in known and not same(more.here[site], more.there[site])}
    plain = {streams[layer]: more.here[streams[layer]] for layer in blocks}
    all_there = more.under({site: more.there[site] for site in streams.values()}, moved)
    owners: dict[Site, list[Sender]] = {
        site: [Sender()] if site in all_there and same(all_there[site], more.here[site]) else [] for site in moved
    }
    for layer in blocks:
        mine = [streams[layer], *(site for site in found.get(layer, ()) if site in moved or site in known)]
        passed = more.under(plain | {site: more.there[site] for site in mine}, moved - {*mine})
        for site in moved - {*mine}:
            if site in passed and same(passed[site], more.there[site]):
                owners[site].append(Sender(layer, block=True))
    chosen = [site for site in every if owners.get(site) and not more.here[site].is_floating_point()]
    owners |= {site: owners[site][:1] for site in chosen}  # who only hands it on decides nothing
    first = {site: next(one for one in chosen if _one_choice(more, one, site, owners)) for site in chosen}
    given = {
        layer: tuple(
            Given(site, owners[site][0], first.get(site))
            for site in (*found.get(layer, ()), *inside.get(layer, ()))
            if site in moved and len(owners[site]) == 1 and _comes_first(owners[site][0], layer)
        )
        for layer in blocks
    }
    return {
        layer: replace(block, port=replace(block.port, given=given[layer], earlier=earlier.get(layer, ())))
        for layer, block in blocks.items()
    }


def _comes_first(sender: Sender, layer: int) -> bool:
    return sender.layer is None or sender.layer < layer


def _one_choice(seen: Twice, left: Site, right: Site, owners: Mapping[Site, Sequence[Sender]]) -> bool:
    both = (seen.here, seen.there)
    return owners[left] == owners[right] and all(same(values[left], values[right]) for values in both)


def _arguments(events: Sequence[Event], block: Block, layer: int, seen: Twice) -> Iterator[Site]:
    """The other arguments of a block, and of what is called for it in front and behind, that have examples and positions:
    numbers or choices of tokens."""
    enters, like = block.port.site.tap.port, seen.here[block.port.site]
    calls, before, made = around(events, block.port.site, block.leaves)
    for number, event in enumerate([*calls, *before]):
        args, named = event.arguments
        every: list[tuple[Key, Any]] = [*enumerate(args), *named.items()]
        for key, value in every:
            port, beside = ModulePort(event.path, "in", key, event.call), f"call_{number}_" if number else ""
            if (
                port in (enters, made)
                or not isinstance(value, Tensor)
                or value.dtype == torch.bool
                or not value.numel()
            ):
                continue
            if value.ndim >= 3 and value.shape[:2] == like.shape[:2]:
                axes = ("batch", "pos", *(f"dim_{i}" for i in range(2, value.ndim)))
                sizes = dict(zip(axes[2:], value.shape[2:], strict=True))
                yield Site(SiteName(f"given_{beside}{key}", layer), axes, sizes, True, Direct(port))
    yield from terms(events, block.port.site, block.leaves, layer)


def _keys_and_values(network: Network, layer: int) -> Sequence[Site]:
    """What attention reads as keys and values: an earlier layer's, perhaps."""
    keys = network.structure.sites.get(SiteName("k_rot", layer))
    if keys is None or not isinstance(keys.tap, Direct):
        return ()
    port = keys.tap.port
    values = replace(keys.tap, port=ModulePort(port.module, "v", port.key, port.call))
    return keys, Site(SiteName("v_rot", layer), keys.axes, keys.sizes, True, values)


def owners_too(blocks: Mapping[int, Block | str], why: Mapping[int, str | None]) -> dict[int, str]:
    """The layers with a reason to be one part that can be, and those that hand on to them more than their stream."""
    found = {layer: reason for layer, reason in why.items() if reason and isinstance(blocks[layer], Block)}
    if found and any(isinstance(block, Block) and block.port.site.name.name == BOTH for block in blocks.values()):
        found |= {layer: "two streams go past it" for layer in blocks if layer not in found}
    for layer in sorted(blocks, reverse=True):  # what a layer is given comes from earlier ones
        block = blocks[layer]
        given = block.port.given if layer in found and isinstance(block, Block) else ()
        for sender in (each.sender for each in given):
            if sender.layer is not None:
                found.setdefault(sender.layer, f"it hands on more than its stream to layer {layer}")
    return found


def odd_sums(network: Network, depth: int, values: Mapping[Site, Tensor]) -> dict[int, str]:
    """The layers whose change of the stream is not what their known parts add, from values of one pass: why."""
    structure, found = network.structure, dict[int, str]()
    for layer in range(depth):
        kind = structure.kinds[None, layer]
        pre, *parts, post = (structure.sites.get(SiteName(name, layer)) for name in STREAM)
        if kind == "unknown" or pre is None or post is None:
            found[layer] = "what its modules return does not add up to its change of the stream"
        elif kind != "post-norm":
            known = [values[site] for site in (pre, *parts) if site is not None]
            total = sum(known[1:], known[0])
            for scale in stream_scales(network, layer):
                total = total * scale.factor(network, total)
            rough = min((total, values[post], *known), key=lambda each: torch.finfo(each.dtype).bits).dtype
            if not same(total.to(rough), values[post].to(rough)):
                found[layer] = "something else than its known parts adds to the stream"
    return found
