"""One pass in which some parts read other values of some parts.

A receiver reads the stream with the ablated values of its cut senders in place of their current ones,

    in_v = stream + Σ_u (1 − kept[u, v]) · (ablated_u − current_u)

through the native norm and, in attention, its head's part of the native projection; the stream itself stays. Current
values are those of this very pass, so that what is cut upstream is felt downstream. Each row of the batch may have a mask
of its own. Where a norm comes after attention, the term of a layer's heads is what that norm makes of them together:
norm(out + Σ …) − norm(out). Where the stream is normed after each sum, what a receiver reads more goes through the norms
on its way (`stream_norms.py`). A whole layer that is one part gets its own input and hands on the unchanged stream with what
it adds (`blocks.py`): what was put in is taken out again behind it. So does an MLP that is all the rest of a layer. With a
mask of numbers between 0 and 1 the result is differentiable in it.

Memory: for each row, (senders + 4 · a layer's receivers) · pos · d_model numbers. Cost beside the pass itself: a norm and a
head's projection for each receiver, and that of `beside.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import BLOCK, MIXER, SLOTS, Receiver, Sender, comes_before
from assay.engine.edges.beside import Beside, Normed, Written
from assay.engine.edges.choices import handed_on
from assay.engine.edges.expanded import group_size, widened
from assay.engine.edges.fitting import fitting
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.reading import Port
from assay.engine.edges.reentered import read_again
from assay.engine.edges.stream_scales import StreamStep
from assay.engine.edges.underived import refuse_underived
from assay.engine.edges.wiring import Wiring
from assay.engine.hooks import Change
from assay.models.structure import Site

Place = tuple[int | None, str | None]
"""A layer and a slot: receivers that read the same stream at once, or senders that write at once."""


@dataclass(frozen=True)
class Cuts:
    """Which part of each edge is cut: [row, sender, receiver], 0 where it is kept and 1 where it is cut."""

    senders: Sequence[Sender]
    receivers: Sequence[Receiver]
    share: Float[Tensor, "row sender receiver"]

    @property
    def learned(self) -> bool:
        """Whether derivatives are taken with respect to it."""
        return self.share.requires_grad

    def live(self) -> Tensor:
        """The edges that are cut in any row, or may be: [sender, receiver]."""
        return torch.ones_like(self.share[0], dtype=torch.bool) if self.learned else self.share.ne(0).any(0)


def cuts(wiring: Wiring, senders: Sequence[Sender], receivers: Sequence[Receiver], kept: Tensor) -> Cuts:
    """Cuts from a mask of what is kept [row, sender, receiver]; pairs that are no edges are never cut.

    Raises:
        SiteError: a part that the model does not have.
    """
    parts: list[Sender | Receiver] = [*senders, *receivers]
    for part in parts:
        wiring.refuse_missing(part)
    possible = [
        [comes_before(s, r, parallel=r.layer is not None and wiring.parallel[r.layer]) for r in receivers]
        for s in senders
    ]
    allowed = torch.tensor(possible, dtype=torch.bool, device=kept.device)
    kept = kept if kept.is_floating_point() else kept.float()
    return Cuts(senders, receivers, (1 - kept) * allowed)


@dataclass
class Rewire:
    """The changes that cut edges in one pass. `ablated` gives the value at a site that cut senders are replaced by."""

    wiring: Wiring
    cuts: Cuts
    ablated: Callable[[Site], Tensor]
    _written: dict[Place, Written | Normed] = field(default_factory=dict)
    """In forward order."""
    _new: dict[Place, Tensor] = field(default_factory=dict)
    _sums: dict[StreamStep, Tensor] = field(default_factory=dict)
    _put_in: dict[Place, Tensor] = field(default_factory=dict)
    """What parts that the stream goes past read beside it."""

    def __post_init__(self) -> None:
        live = self.cuts.live()
        senders = [s for s in range(len(self.cuts.senders)) if bool(live[s].any())]
        receivers = [r for r in range(len(self.cuts.receivers)) if bool(live[:, r].any())]
        self.senders = by_place((self.cuts.senders[s], s) for s in senders)
        self.receivers = by_place((self.cuts.receivers[r], r) for r in receivers)

    def changes(self) -> list[tuple[Site, Change]]:
        """What to do at each site, in forward order. To be placed after all other changes of the pass."""
        network = self.wiring.network
        blocks = dict.fromkeys(each for each in self.cuts.receivers if each.slot == BLOCK)
        found = handed_on(given for each in blocks for given in self.wiring.port(each).given)
        if (None, "write") in self.senders:
            found.append((self.wiring.written(Sender()), self._part(None, "write")))
        norms = self.wiring.norms if self.senders else ()
        for layer in range(self.wiring.depth):
            slots = [slot for slot in (*SLOTS, MIXER, BLOCK, None) if (layer, slot) in self.receivers]
            ports = {slot: self.wiring.port(Receiver(layer, None, slot)) for slot in slots}
            if MIXER in ports:  # before a norm's sum is kept
                found += self._leaving(layer, MIXER, ports[MIXER])
            mine = [norm for norm in norms if norm.part.layer == layer]
            found += [each for norm in mine if not norm.between for each in self._normed(norm)]
            if (layer, MIXER) in self.senders:  # before the stream that already has what it adds is read
                found.append((self.wiring.mixer(layer).added, self._part(layer, MIXER)))
            streams = dict.fromkeys(port.reading.stream for port in ports.values())
            found += [(stream, self._reader(layer, stream, ports)) for stream in streams]
            found += [(port.site, self._putter(layer, slot)) for slot, port in ports.items()]
            if (layer, "heads") in self.senders:
                heads = self.wiring.heads_of(layer)
                found.append((heads.z, self._heads(layer, heads)))
            if (layer, "mlp") in self.senders:
                found.append((network.site(f"L{layer}.mlp_out"), self._part(layer, "mlp")))
            found += [each for slot in ports if slot != MIXER for each in self._given(layer, slot, ports[slot])]
            if (layer, BLOCK) in self.senders:  # behind what it is given, before what was put in is taken out
                found.append((self.wiring.block(layer).added, self._part(layer, BLOCK)))
            found += [each for slot in ports if slot != MIXER for each in self._leaving(layer, slot, ports[slot])]
            found += [each for norm in mine if norm.between for each in self._normed(norm)]
        if (None, None) in self.receivers:
            found += self._given(None, None, self.wiring.logits)
            found.append((self.wiring.last, self._last))
        return found

    def _heads(self, layer: int, heads: HeadsOut) -> Change:
        network, numbers = self.wiring.network, self.senders[layer, "heads"]
        own = [self.cuts.senders[s].head or 0 for s in numbers]

        def read(z: Tensor) -> Tensor:
            shares = heads.shares(network, fitting(self.ablated(heads.z), heads.z, z) - z)[:, own]
            if heads.norm is None:
                self._write((layer, "heads"), shares * heads.factor)
            else:
                self._written[layer, "heads"] = Written(numbers, shares, heads, heads.whole(network, z))
            return z

        return read

    def _part(self, layer: int | None, place: str) -> Change:
        """Embedding, mixer, MLP or whole layer: what is written passes as it is."""
        number = self.senders[layer, place][0]
        site = self.wiring.written(self.cuts.senders[number])

        def read(value: Tensor) -> Tensor:
            self._write((layer, place), (fitting(self.ablated(site), site, value) - value)[:, None])
            return value

        return read

    def _normed(self, norm: StreamStep) -> list[tuple[Site, Change]]:
        """What a norm in the stream's way reads and gives is kept."""

        def before(value: Tensor) -> Tensor:
            self._sums[norm] = value
            return value

        def after(value: Tensor) -> Tensor:
            self._written[norm.part.layer, norm.module] = Normed(norm, self._sums.pop(norm), value)
            return value

        return [(norm.before, before), (norm.after, after)]

    def _write(self, place: Place, change: Tensor) -> None:
        self._written[place] = Written(self.senders[place], change)

    def _reader(self, layer: int, stream: Site, ports: Mapping[str | None, Port]) -> Change:
        mine = {slot: port for slot, port in ports.items() if port.reading.stream == stream}

        def read(value: Tensor) -> Tensor:
            if self.cuts.learned:
                refuse_underived(stream)
            for slot, port in mine.items():
                x = value[:, None] + self._delta((layer, slot), value)
                new = port.reading.through(self.wiring.network, x.flatten(0, 1)).unflatten(0, x.shape[:2])
                if port.projection is not None:
                    new = port.projection.apply(self.wiring.network, new, self._projected(layer, slot))
                self._new[layer, slot] = new
            return value

        return read

    def _putter(self, layer: int, slot: str | None) -> Change:
        def put(value: Tensor) -> Tensor:
            new, touched = self._new.pop((layer, slot)), self._touched((layer, slot))
            if slot not in SLOTS:
                changed = torch.where(touched[:, :, None], new[:, 0].to(value.dtype), value)
                if self.wiring.port(Receiver(layer, None, slot)).leaves is not None:
                    self._put_in[layer, slot] = changed - value
                return changed
            heads = self._heads_at((layer, slot)).to(value.device)
            if self._own_keys(layer, slot):
                value = widened(value, group_size(self.wiring.network, layer))
            old = value.index_select(2, heads)
            return value.index_copy(2, heads, torch.where(touched[:, None, :, None], new.to(value.dtype), old))

        return put

    def _leaving(self, layer: int, slot: str | None, port: Port) -> list[tuple[Site, Change]]:
        """Where the stream goes past a part: what was put in is taken out."""
        return [] if port.leaves is None else [(port.leaves, self._taken_out(layer, slot, port))]

    def _taken_out(self, layer: int, slot: str | None, port: Port) -> Change:
        return lambda value: value - port.past(self.wiring.network, self._put_in.pop((layer, slot))).to(value)

    def _given(self, layer: int | None, slot: str | None, port: Port) -> list[tuple[Site, Change]]:
        """What a part that the stream goes past reads beside it, of senders that are cut from it."""
        if port.leaves is None:
            return []
        (reads,) = self.receivers[layer, slot]
        found = [read_again(each, partial(self._delta_of, [reads])) for each in port.earlier]
        for given in port.given:
            writes = self.senders.get((given.sender.layer, _writes(given.sender)))
            if writes is not None:
                found.append((given.site, self._mixed(given.site, self.cuts.share[:, writes[0], reads])))
        return found

    def _mixed(self, site: Site, share: Float[Tensor, " row"]) -> Change:
        def put(value: Tensor) -> Tensor:
            mine = share.to(value.device).reshape(-1, *[1] * (value.ndim - 1))
            if not value.is_floating_point():  # a choice is one or the other
                return torch.where(mine >= 0.5, fitting(self.ablated(site), site, value), value)
            return value + mine.to(value) * (fitting(self.ablated(site), site, value) - value)

        return put

    def _last(self, value: Tensor) -> Tensor:
        return value + self._delta((None, None), value)[:, 0]

    def _delta(self, place: Place, value: Tensor) -> Float[Tensor, "batch receiver pos d_model"]:
        """What the receivers at a place read beside the stream."""
        numbers = self.receivers[place]
        return self._delta_of(numbers, self.cuts.receivers[numbers[0]], value)

    def _delta_of(self, numbers: Sequence[int], reads: Receiver, value: Tensor) -> Tensor:
        """What some receivers read beside the stream that `reads` reads, whose value is given."""
        share = self.cuts.share[:, :, list(numbers)]
        so_far = Beside(self.wiring, self.cuts.senders, tuple(self._written.values()), self.cuts.learned)
        return so_far.read(reads, value, share)

    def _touched(self, place: Place) -> Tensor:
        """Of the receivers at a place, those of which an edge is cut: [row, receiver]."""
        share = self.cuts.share[:, :, self.receivers[place]]
        return torch.ones_like(share[:, 0], dtype=torch.bool) if self.cuts.learned else share.ne(0).any(1)

    def _heads_at(self, place: Place) -> Tensor:
        return torch.tensor([self.cuts.receivers[r].head or 0 for r in self.receivers[place]])

    def _projected(self, layer: int, slot: str | None) -> Tensor:
        """Which of the projection's heads the receivers at a place read."""
        heads = self._heads_at((layer, slot))
        return heads // group_size(self.wiring.network, layer) if self._own_keys(layer, slot) else heads

    def _own_keys(self, layer: int, slot: str | None) -> bool:
        """Whether these keys or values are single query heads' that share one."""
        return slot in ("k", "v") and not self._shared(layer, slot) and group_size(self.wiring.network, layer) > 1

    def _shared(self, layer: int, slot: str) -> bool:
        return self.cuts.receivers[self.receivers[layer, slot][0]].shared

    @property
    def own_keys(self) -> bool:
        """Whether the pass must be made under `expanded.own_keys`."""
        return any(self._own_keys(layer, slot) for layer, slot in self.receivers if layer is not None)


def by_place(parts: Iterable[tuple[Sender | Receiver, int]]) -> dict[Place, list[int]]:
    """The numbers of parts by their place: a layer and a slot, or "heads", "mlp", "attn", "block", "write"."""
    found: dict[Place, list[int]] = {}
    for part, number in parts:
        if isinstance(part, Receiver):
            place: Place = (part.layer, part.slot)
        else:
            place = (part.layer, _writes(part))
        found.setdefault(place, []).append(number)
    return found


def _writes(sender: Sender) -> str:
    if sender.layer is None:
        return "write"
    if sender.block:
        return BLOCK
    return MIXER if sender.mixer else "mlp" if sender.head is None else "heads"
