"""How each part of a network reads the residual stream and writes to it, established on a few passes.

A receiver reads the stream through a norm (or none) and, in attention, through its head's columns of a projection. A
sender writes what is added to the stream; heads write through their rows of the output projection, and where a norm comes
after attention (Gemma 2, OLMo 2) what several heads write together is known, and not what each adds. Where a layer's heads
are not known, all that mixes positions in it may be one part (`mixers.py`), and where its parts are not, the whole layer
(`blocks.py`). In post-norm blocks the stream is normed after
each sum, and these norms are part of what a receiver reads (`stream_norms.py`).

Nothing is guessed: each of these is recomputed from what passed and compared, and what a part is said to read must, taken
from another run, make it give what it gives there. What does not come out is a reason, which is told when that part is
asked for. Cost: three passes on the model's example inputs, those of `mixers.py` and of `blocks.py`, once for each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar
from weakref import WeakKeyDictionary

from torch import nn

from assay.core.edge_names import BLOCK, MIXER, SLOTS, Receiver, Sender, block_layers, mixed_layers
from assay.core.errors import SiteError
from assay.core.sites import SiteName
from assay.engine.edges.blocks import STREAM, Block, find_blocks, odd_sums, owners_too
from assay.engine.edges.evidence import Evidence, shared_keys
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.mixers import Mixer, find_mixers, mixer_outputs
from assay.engine.edges.norm_readers import mlps_through_norms
from assay.engine.edges.read_by_logits import read_by_logits
from assay.engine.edges.reading import Given, Port, Reading
from assay.engine.edges.rests import rests
from assay.engine.edges.stream_joins import stream_joins
from assay.engine.edges.stream_norms import established, stream_norms
from assay.engine.edges.stream_scales import StreamStep, stream_scales
from assay.engine.edges.twice import OUTSIDE, Twice, refuse_more
from assay.models.network import Network
from assay.models.structure import Site

T = TypeVar("T")
NOT_ITS_OWN = "these heads read another model's keys and values"


@dataclass(frozen=True)
class Wiring:
    """Ports by layer and slot (None: the MLP), heads by layer, and the reason for each that could not be established."""

    network: Network
    depth: int
    parallel: tuple[bool, ...]
    ports: Mapping[tuple[int, str | None], Port | str] = field(repr=False)
    heads: Mapping[int, HeadsOut | str] = field(repr=False)
    norms: tuple[StreamStep, ...] = ()
    """Norms in the stream's own way, and numbers that it is multiplied by, in forward order."""
    odd: Mapping[int, str] = field(default_factory=dict, repr=False)
    """The layers whose known parts are not all that changes the stream."""
    keys: Mapping[int, int] = field(default_factory=dict)
    """The layers whose heads take over the keys and values of an earlier layer, or of another model (`OUTSIDE`): whose."""
    beside: tuple[Given, ...] = ()
    """What logits are made of beside the last stream."""
    start: Site | None = None
    end: Site | None = None
    """Where the first layer reads its stream, and the last hands it on, if these are one part."""

    @cached_property
    def mixers(self) -> Mapping[int, Mixer | str]:
        """What mixes positions in each layer as one part, or why that is not known; found when first asked for."""
        return find_mixers(self.network, self.depth)

    @cached_property
    def whole(self) -> Mapping[int, str]:
        """The layers whose heads are not known and whose mixer is: why there are no heads."""
        why = {layer: self.why_no_heads(layer) for layer in range(self.depth)}
        return {layer: reason for layer, reason in why.items() if reason and isinstance(self.mixers[layer], Mixer)}

    @cached_property
    def blocks(self) -> Mapping[int, Block | str]:
        """Each layer as one part, or why it can't be; found when first asked for."""
        joined = {norm.part.layer for norm in self.norms if norm.between}
        return find_blocks(self.network, self.depth, joined)

    @cached_property
    def blocked(self) -> Mapping[int, str]:
        """The layers whose parts are not known and which are one part themselves: why."""
        why = {layer: self.why_no_parts(layer) for layer in range(self.depth)}
        return owners_too(self.blocks, why) if any(why.values()) else {}

    def why_no_parts(self, layer: int) -> str | None:
        """Why a layer's attention (or mixer) and MLP are not known as parts; None where they are."""
        mlp, no_heads = self.ports[layer, None], self.why_no_heads(layer)
        if layer in self.odd:
            return self.odd[layer]
        if isinstance(mlp, str) and SiteName("mlp_out", layer) in self.network.structure.sites:
            return f"of its MLP, {mlp}"
        mixer = self.mixers[layer] if no_heads else None
        return f"of its attention, {mixer}" if isinstance(mixer, str) else None

    def why_no_heads(self, layer: int) -> str | None:
        """Why edges of a layer's heads can't be cut; None where they can, or where nothing mixes positions."""
        if not mixer_outputs(self.network, layer):
            return None
        slots = ("q",) if self.keys.get(layer) == OUTSIDE else SLOTS
        every = (self.heads[layer], *(self.ports[layer, slot] for slot in slots))
        return next((why for why in every if isinstance(why, str)), None)

    def whole_among(self, parts: Iterable[Sender | Receiver]) -> frozenset[int]:
        """The layers whose mixer is one part in a graph of these parts. Raises DataError for a layer named both ways."""
        every = list(parts)
        whole, heads = mixed_layers(every)
        return whole | (frozenset(self.whole) - heads - self.blocks_among(every))

    def blocks_among(self, parts: Iterable[Sender | Receiver]) -> frozenset[int]:
        """The layers that are one part in a graph of these parts. Raises DataError for a layer named both ways."""
        blocks, parted = block_layers(parts)
        return blocks | (frozenset(self.blocked) - parted)

    def among(self, parts: Iterable[Sender | Receiver]) -> Wiring:
        """The wiring of a graph of these parts: norms within layers that are one part are that part's own."""
        blocks = self.blocks_among(parts)
        norms = tuple(norm for norm in self.norms if norm.part.layer not in blocks or norm.between)
        last = self.depth - 1
        if len(norms) == len(self.norms) and not {0, last} & blocks:
            return self
        start, end = (
            (self.block(0).port.site if 0 in blocks else None),
            (self.block(last).leaves if last in blocks else None),
        )
        beside = () if last in blocks else self.beside  # what comes behind a layer as one part belongs to it
        found = replace(self, norms=norms, beside=beside, start=start, end=end)
        found.__dict__.update(mixers=self.mixers, blocks=self.blocks)  # what is known need not be found again
        return found

    def port(self, receiver: Receiver) -> Port:
        """How a receiver of a layer reads. Raises SiteError with the reason where that is not known."""
        if receiver.slot == BLOCK:
            return self.block(receiver.layer or 0).port
        if receiver.slot == MIXER:
            return self.mixer(receiver.layer or 0).port
        found = self.ports.get((receiver.layer or 0, receiver.slot), "there is no such layer")
        return _established(found, receiver.name)

    @property
    def logits(self) -> Port:
        """How logits read the stream, and what beside it."""
        return Port(self.last, Reading(self.last, None), leaves=self.last, given=self.beside)

    def heads_of(self, layer: int) -> HeadsOut:
        """How a layer's heads write. Raises SiteError with the reason where that is not known."""
        return _established(self.heads.get(layer, "there is no such layer"), f"L{layer}'s heads")

    def mixer(self, layer: int) -> Mixer:
        """How all that mixes positions in a layer reads and writes. Raises SiteError where that is not known."""
        return _established(self.mixers.get(layer, "there is no such layer"), f"L{layer}.{MIXER}")

    def block(self, layer: int) -> Block:
        """How a whole layer reads and writes. Raises SiteError where that is not known."""
        return _established(self.blocks.get(layer, "there is no such layer"), f"L{layer}.{BLOCK}")

    def written(self, sender: Sender) -> Site:
        """The site that holds what a sender writes, or what it is computed from."""
        if sender.layer is None:
            return self.network.site("L0.resid_pre") if self.start is None else self.start
        if sender.block:
            return self.block(sender.layer).added
        if sender.mixer:
            return self.mixer(sender.layer).added
        if sender.head is not None:
            return self.heads_of(sender.layer).z
        return self.network.site(f"L{sender.layer}.mlp_out")

    def carried(self, senders: Iterable[Sender], receivers: Iterable[Receiver]) -> list[Site]:
        """The sites of what senders write, and of what parts read of them beside their stream."""
        receivers = list(receivers)
        writers, places = dict.fromkeys(senders), {(r.layer, r.slot): r for r in receivers if r.layer is not None}
        ports = [self.port(reads) for reads in places.values()]
        logits = self.beside if any(r.layer is None for r in receivers) else ()
        every = [*(each for port in ports for each in port.given), *logits]
        given = [each.site for each in every if each.sender in writers]
        return [*map(self.written, writers), *given]

    def refuse_missing(self, part: Sender | Receiver) -> None:
        """Raise SiteError for a part that this model does not have."""
        if part.layer is None:
            return
        if part.layer >= self.depth:
            raise SiteError(f"{part.name} is not in this model: it has layers 0-{self.depth - 1}.")
        if part.head is None:
            known = {MIXER: self.mixer, BLOCK: self.block}.get(part.name.rpartition(".")[2])
            _ = self.network.site(f"L{part.layer}.mlp_out") if known is None else known(part.layer)
            return
        shared = isinstance(part, Receiver) and part.shared
        if isinstance(part, Receiver) and part.slot in ("k", "v") and part.layer in self.keys:
            owner = self.keys[part.layer]
            why = NOT_ITS_OWN if owner == OUTSIDE else f"these heads take over L{owner}'s"
            raise SiteError(f"{part.name} is not in this model: {why}.")
        site = self.network.site(f"L{part.layer}.{part.slot if isinstance(part, Receiver) and shared else 'q'}")
        count = site.sizes["kv_head" if shared else "head"]
        if part.head >= count:
            there = f"layer {part.layer} has heads 0-{count - 1} of that kind"
            raise SiteError(f"{part.name} is not in this model: {there}.")

    @property
    def last(self) -> Site:
        """The stream that logits are made of."""
        return self.network.site(f"L{self.depth - 1}.resid_post") if self.end is None else self.end


def _established(found: T | str, what: str) -> T:
    if isinstance(found, str):
        raise SiteError(f"edges of {what} can't be cut in this model: {found}.")
    return found


_KNOWN: WeakKeyDictionary[nn.Module, Wiring] = WeakKeyDictionary()


def wiring(network: Network) -> Wiring:
    """The wiring of a decoder, found when first asked for.

    Raises:
        SiteError: no single stack of layers whose stream is a sum, or no example inputs to establish it on.
    """
    known = _KNOWN.get(network.native)
    if known is None or known.network.structure is not network.structure:  # loaded again, with other inputs perhaps
        known = _KNOWN[network.native] = _find(network)
    return known


def _find(network: Network) -> Wiring:
    structure = network.structure
    if None not in structure.depth or structure.depth.keys() & {"enc", "dec"}:
        raise SiteError(f"edges need one stack of layers; this model has {len(structure.depth)}.")
    depth = structure.depth[None]
    names = ("resid_mid", "attn_in", "q", "k", "v", "k_rot", "z", *STREAM, "mlp_in")
    sites = [site for site in structure.sites.values() if site.name.stack is None and site.name.name in names]
    ways = [stream_norms(network, layer) for layer in range(depth)]
    every = [norm for way in ways if not isinstance(way, str) for norm in way]
    seen = Twice.of(network, [*sites, *(site for norm in every for site in (norm.before, norm.after))])
    norms, odd = established(network, ways, seen.here)
    finders = [Evidence(network, seen.here, layer, norms[layer]) for layer in range(depth)]
    ports = {(f.layer, slot): f.port(slot) for f in finders for slot in (*SLOTS, None)}
    heads = {f.layer: f.heads() for f in finders}
    keys = shared_keys(network, depth, seen)
    taken = {layer: earlier for layer, earlier in keys.items() if earlier != OUTSIDE}
    ports |= {(layer, slot): ports[earlier, slot] for layer, earlier in taken.items() for slot in ("k", "v")}
    ports |= {(layer, slot): NOT_ITS_OWN for layer in keys.keys() - taken.keys() for slot in ("k", "v")}
    refuse_more(seen, ports, heads, keys)
    mlps_through_norms(network, ports, depth)
    parallel = tuple(structure.kinds[None, layer] == "parallel" for layer in range(depth))
    joins = stream_joins(network, depth, seen)
    steps: list[StreamStep] = []
    for layer in range(depth):
        steps += [*norms[layer], *stream_scales(network, layer), *([joins[layer]] if layer in joins else [])]
    found = Wiring(
        network, depth, parallel, ports, heads, tuple(steps), odd_sums(network, depth, seen.here) | odd, keys,
        read_by_logits(network, depth, seen),
    )  # fmt: skip
    unread = [i for i in range(depth) if isinstance(ports[i, None], str) and SiteName("mlp_out", i) in structure.sites]
    if unread:
        ports |= {(layer, None): port for layer, port in rests(network, {i: found.blocks[i] for i in unread}).items()}
    return found
