"""How each part of a network reads the residual stream and writes to it, established on a few passes.

A receiver reads the stream through a norm (or none) and, in attention, through its head's columns of a projection. A
sender writes what is added to the stream; heads write through their rows of the output projection, and where a norm comes
after attention (Gemma 2, OLMo 2) what several heads write together is known, and not what each adds. Where a layer's heads
are not known, all that mixes positions in it may be one part (`mixers.py`).

Nothing is guessed: each of these is recomputed from what passed and compared, and what a part is said to read must, taken
from another run, make it give what it gives there. What does not come out is a reason, which is told when that part is
asked for. Cost: three passes on the model's example inputs, and those of `mixers.py`, once for each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.edge_names import MIXER, SLOTS, Receiver, Sender, mixed_layers
from assay.core.errors import SiteError
from assay.core.sites import SiteName
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.mixers import Mixer, find_mixers, mixer_outputs
from assay.engine.edges.norm_readers import NormReaders
from assay.engine.edges.projections import projection
from assay.engine.edges.reading import Norm, Port, Reading, same
from assay.engine.edges.twice import Twice
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.structure import Site
from assay.models.taps import Direct, HeadOut, NormScale
from assay.models.views import Scaled

T = TypeVar("T")
KINDS = ("sequential", "parallel", "single")


@dataclass(frozen=True)
class Wiring:
    """Ports by layer and slot (None: the MLP), heads by layer, and the reason for each that could not be established."""

    network: Network
    depth: int
    parallel: tuple[bool, ...]
    ports: Mapping[tuple[int, str | None], Port | str] = field(repr=False)
    heads: Mapping[int, HeadsOut | str] = field(repr=False)

    @cached_property
    def mixers(self) -> Mapping[int, Mixer | str]:
        """What mixes positions in each layer as one part, or why that is not known; found when first asked for."""
        return find_mixers(self.network, self.depth)

    @cached_property
    def whole(self) -> Mapping[int, str]:
        """The layers whose heads are not known and whose mixer is: why there are no heads."""
        why = {layer: self.why_no_heads(layer) for layer in range(self.depth)}
        return {layer: reason for layer, reason in why.items() if reason and isinstance(self.mixers[layer], Mixer)}

    def why_no_heads(self, layer: int) -> str | None:
        """Why edges of a layer's heads can't be cut; None where they can, or where nothing mixes positions."""
        if not mixer_outputs(self.network, layer):
            return None
        every = (self.heads[layer], *(self.ports[layer, slot] for slot in SLOTS))
        return next((why for why in every if isinstance(why, str)), None)

    def whole_among(self, parts: Iterable[Sender | Receiver]) -> frozenset[int]:
        """The layers whose mixer is one part in a graph of these parts. Raises DataError for a layer named both ways."""
        whole, heads = mixed_layers(parts)
        return whole | (frozenset(self.whole) - heads)

    def port(self, receiver: Receiver) -> Port:
        """How a receiver of a layer reads. Raises SiteError with the reason where that is not known."""
        if receiver.slot == MIXER:
            return self.mixer(receiver.layer or 0).port
        return _established(
            self.ports.get((receiver.layer or 0, receiver.slot), "there is no such layer"), receiver.name
        )

    def heads_of(self, layer: int) -> HeadsOut:
        """How a layer's heads write. Raises SiteError with the reason where that is not known."""
        return _established(self.heads.get(layer, "there is no such layer"), f"L{layer}'s heads")

    def mixer(self, layer: int) -> Mixer:
        """How all that mixes positions in a layer reads and writes. Raises SiteError where that is not known."""
        return _established(self.mixers.get(layer, "there is no such layer"), f"L{layer}.{MIXER}")

    def written(self, sender: Sender) -> Site:
        """The site that holds what a sender writes, or what it is computed from."""
        if sender.layer is None:
            return self.network.site("L0.resid_pre")
        if sender.mixer:
            return self.mixer(sender.layer).added
        if sender.head is not None:
            return self.heads_of(sender.layer).z
        return self.network.site(f"L{sender.layer}.mlp_out")

    def refuse_missing(self, part: Sender | Receiver) -> None:
        """Raise SiteError for a part that this model does not have."""
        if part.layer is None:
            return
        if part.layer >= self.depth:
            raise SiteError(f"{part.name} is not in this model: it has layers 0-{self.depth - 1}.")
        if part.name.endswith(f".{MIXER}"):
            self.mixer(part.layer)
            return
        if part.head is None:
            self.network.site(f"L{part.layer}.mlp_out")
            return
        shared = isinstance(part, Receiver) and part.shared
        site = self.network.site(f"L{part.layer}.{part.slot if isinstance(part, Receiver) and shared else 'q'}")
        count = site.sizes["kv_head" if shared else "head"]
        if part.head >= count:
            raise SiteError(
                f"{part.name} is not in this model: layer {part.layer} has heads 0-{count - 1} of that kind."
            )

    @property
    def last(self) -> Site:
        """The stream that the last norm reads."""
        return self.network.site(f"L{self.depth - 1}.resid_post")


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
    if network.native not in _KNOWN:
        _KNOWN[network.native] = _find(network)
    return _KNOWN[network.native]


def _find(network: Network) -> Wiring:
    structure = network.structure
    if set(structure.depth) != {None}:
        raise SiteError(f"edges need one stack of layers; this model has {len(structure.depth)}.")
    depth = structure.depth[None]
    for layer in range(depth):
        if structure.kinds[None, layer] not in KINDS:
            raise SiteError(
                f"layer {layer} is a {structure.kinds[None, layer]} block: its stream is no sum of its parts."
            )
    names = ("resid_pre", "resid_mid", "attn_in", "q", "k", "v", "z", "attn_out", "mlp_in", "mlp_out")
    sites = [site for site in structure.sites.values() if site.name.stack is None and site.name.name in names]
    seen = Twice.of(network, sites)
    finders = [_Layer(network, seen.here, layer) for layer in range(depth)]
    ports = {(f.layer, slot): f.port(slot) for f in finders for slot in (*SLOTS, None)}
    heads = {f.layer: f.heads() for f in finders}
    _refuse_more(seen, ports, heads)
    _mlps_through_norms(network, ports, depth)
    parallel = tuple(structure.kinds[None, layer] == "parallel" for layer in range(depth))
    return Wiring(network, depth, parallel, ports, heads)


def _refuse_more(
    seen: Twice, ports: dict[tuple[int, str | None], Port | str], heads: dict[int, HeadsOut | str]
) -> None:
    """Take out the heads of layers whose attention, and MLPs, that read something else beside what is known."""
    parts: dict[Site, list[Site]] = {}
    sites = seen.network.structure.sites
    for layer in heads:
        read = [ports[layer, slot] for slot in SLOTS]
        if not isinstance(heads[layer], str) and not any(isinstance(port, str) for port in read):
            parts[sites[SiteName("attn_out", layer)]] = [port.site for port in read if not isinstance(port, str)]
        mlp, out = ports[layer, None], sites.get(SiteName("mlp_out", layer))
        if not isinstance(mlp, str) and out is not None:
            parts[out] = [mlp.site]
    for out in seen.undecided(parts):
        layer = out.layer or 0
        if out.name.name == "mlp_out":
            ports[layer, None] = "it reads something else beside the stream through its norm"
        else:
            heads[layer] = "attention reads something else beside its queries, keys and values"


def _mlps_through_norms(network: Network, ports: dict[tuple[int, str | None], Port | str], depth: int) -> None:
    """MLPs whose input is no one tensor: what the norm hands on that alone reads the stream after attention."""
    structure = network.structure
    streams: dict[int, Site] = {}
    for layer in range(depth):
        alone = "resid_pre" if structure.kinds[None, layer] == "single" else "resid_mid"
        stream = structure.sites.get(SiteName(alone, layer))
        wanted = isinstance(ports[layer, None], str) and SiteName("mlp_out", layer) in structure.sites
        if wanted and stream is not None:
            streams[layer] = stream
    if not streams:
        return
    norms = NormReaders.of(network, [*streams.values(), *(network.site(f"L{layer}.mlp_out") for layer in streams)])
    found = {layer: next(norms.ports(stream, None), None) for layer, stream in streams.items()}
    outs = {network.site(f"L{layer}.mlp_out"): [port.site] for layer, port in found.items() if port is not None}
    wrong = norms.seen.undecided(outs)
    for layer, port in found.items():
        if port is not None and network.site(f"L{layer}.mlp_out") not in wrong:
            ports[layer, None] = port


@dataclass(frozen=True)
class _Layer:
    """Evidence for one layer."""

    network: Network
    kept: Mapping[Site, Tensor]
    layer: int

    def port(self, slot: str | None) -> Port | str:
        """How q, k, v or the MLP (None) read."""
        name = "mlp_in" if slot is None else "attn_in"
        entry, site = self._site(name), self._site(slot or "mlp_in")
        for wanted, there in ((name, entry), (slot or "mlp_in", site)):
            if there is None:
                return str(self.network.why_not(f"L{self.layer}.{wanted}"))
        assert entry is not None and site is not None
        reading = self._reading(slot, self.kept[entry])
        if isinstance(reading, str) or slot is None:
            return reading if isinstance(reading, str) else Port(site, reading)
        found = projection(self.network, site, self.kept[entry], self.kept[site])
        return found if isinstance(found, str) else Port(site, reading, found)

    def _reading(self, slot: str | None, read: Tensor) -> Reading | str:
        kind = self.network.structure.kinds[None, self.layer]
        stream = self._site("resid_mid" if slot is None and kind == "sequential" else "resid_pre")
        if stream is None:
            return f"the stream that it reads is not known ({self.network.why_not(f'L{self.layer}.resid_mid')})"
        x = self.kept[stream]
        if same(x, read):
            return Reading(stream, None)
        scale = self._site("mlp_norm_scale" if slot is None else "attn_norm_scale")
        if scale is not None:
            assert isinstance(scale.tap, NormScale)
            found = Reading(stream, Norm(scale.tap.port.module, scale.tap.centred, scale.tap.eps))
            try:
                with torch.no_grad():
                    if same(found.through(self.network, x), read):
                        return found
            except CANNOT_RUN:
                pass
        return "what it reads is not the stream through a norm"

    def heads(self) -> HeadsOut | str:
        """How the heads write."""
        z, out, added = self._site("z"), self._site("head_out"), self._site("attn_out")
        for name, there in (("z", z), ("head_out", out), ("attn_out", added)):
            if there is None:
                return str(self.network.why_not(f"L{self.layer}.{name}"))
        assert z is not None and out is not None and added is not None
        assert isinstance(out.tap, HeadOut) and isinstance(added.tap, Direct)
        if self._site("ssm_out") is not None:
            return "a recurrent mixer beside attention reads the same stream"
        factor = 1.0
        for step in added.tap.view.steps:
            factor *= step.factor if isinstance(step, Scaled) else 1.0
        for norm in (None, added.tap.port.module):
            found = HeadsOut(z, out.tap, factor, norm)
            try:
                with torch.no_grad():
                    whole = found.whole(self.network, self.kept[z])
                    if same(found.added(self.network, whole), self.kept[added]):
                        return found
            except CANNOT_RUN:
                continue
        return "what attention adds is not the sum of what its heads write, nor a norm of it"

    def _site(self, name: str) -> Site | None:
        return self.network.structure.sites.get(SiteName(name, self.layer))
