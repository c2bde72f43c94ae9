"""How each part of a network reads the residual stream and writes to it, established on one pass.

A receiver reads the stream through a norm (or none) and, in attention, through its head's columns of a projection. A
sender writes what is added to the stream; heads write through their rows of the output projection, and where a norm comes
after attention (Gemma 2, OLMo 2) what several heads write together is known, and not what each adds.

Nothing is guessed: each of these is recomputed from what passed and compared. What does not come out is a reason, which is
told when that part is asked for. Cost: one pass on the model's example inputs, once for each model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.edge_names import SLOTS, Receiver, Sender
from assay.core.errors import SiteError
from assay.core.sites import SiteName
from assay.engine.edges.projections import Projection, projection
from assay.engine.passes import Kept, forward
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.offloaded import weight_of
from assay.models.structure import Site
from assay.models.taps import Direct, HeadOut, NormScale, norm_scale, output_weight
from assay.models.views import Scaled

T = TypeVar("T")
KINDS = ("sequential", "parallel", "single")


@dataclass(frozen=True)
class Norm:
    """A native norm that reads the stream: `x / scale(x) · weight + bias`, `centred` or not."""

    module: str
    centred: bool
    eps: float

    def through(self, network: Network, x: Tensor) -> Tensor:
        """The stream through the native module."""
        out: Tensor = network.modules[self.module].forward(x)
        return out

    def weight(self, network: Network, like: Tensor) -> Tensor:
        """What the normalised stream is multiplied by, [d_model], read off the native module itself."""
        width = like.shape[-1]
        probe = like.new_ones(1, 1, width)
        probe[..., 1::2] = -1.0
        unit, _ = norm_parts(probe, self.centred, self.eps)
        with torch.no_grad():
            shifted = self.through(network, probe) - self.through(network, torch.zeros_like(probe))
        return (shifted / unit)[0, 0].to(like)


def norm_parts(x: Tensor, centred: bool, eps: float) -> tuple[Tensor, Tensor]:
    """x / scale, and the scale [..., 1], of a norm."""
    scale = norm_scale(x, centred, eps)
    return (x - x.mean(-1, keepdim=True) if centred else x) / scale, scale


@dataclass(frozen=True)
class Reading:
    """What a receiver reads: the stream at a site, through a native norm (`scale` None: as it is)."""

    stream: Site
    scale: Norm | None

    def through(self, network: Network, x: Tensor) -> Tensor:
        """The stream through the norm."""
        return x if self.scale is None else self.scale.through(network, x)


@dataclass(frozen=True)
class Port:
    """Where a receiver's input is put: the heads of a projection, or what an MLP reads (`projection` None)."""

    site: Site
    reading: Reading
    projection: Projection | None = None


@dataclass(frozen=True)
class HeadsOut:
    """How a layer's heads write: `norm(Σ z·W + bias) · factor`."""

    z: Site
    tap: HeadOut
    factor: float
    norm: str | None

    def shares(self, network: Network, z: Tensor) -> Tensor:
        """Each head's share of the output projection: [batch, pos, head, d_head] → [batch, head, pos, d_model]."""
        return torch.einsum("bphd,hdm->bhpm", z, self._weight(network, z))

    def whole(self, network: Network, z: Tensor) -> Tensor:
        """What the output projection returns."""
        out = torch.einsum("bphd,hdm->bpm", z, self._weight(network, z))
        bias = weight_of(network.modules[self.tap.projection], "bias")
        return out if bias is None else out + bias.detach().to(out)

    def changes(self, network: Network, z: Tensor, other: Tensor) -> Tensor:
        """What is added more to the stream when one head's z is another: [batch, head, pos, d_model]."""
        shares = self.shares(network, other - z)
        if self.norm is None:
            return shares * self.factor
        out = self.whole(network, z)
        changed = self.added(network, (out[:, None] + shares).flatten(0, 1)).reshape(shares.shape)
        return changed - self.added(network, out)[:, None]

    def added(self, network: Network, out: Tensor) -> Tensor:
        """What is added to the stream when the output projection returns `out`."""
        if self.norm is not None:
            out = network.modules[self.norm].forward(out)
        return out if self.factor == 1.0 else out * self.factor

    def _weight(self, network: Network, z: Tensor) -> Tensor:
        module = network.modules[self.tap.projection]
        return output_weight(module, z.shape[-2], turned=self.tap.turned).detach().to(z)


@dataclass(frozen=True)
class Wiring:
    """Ports by layer and slot (None: the MLP), heads by layer, and the reason for each that could not be established."""

    network: Network
    depth: int
    parallel: tuple[bool, ...]
    ports: Mapping[tuple[int, str | None], Port | str] = field(repr=False)
    heads: Mapping[int, HeadsOut | str] = field(repr=False)

    def port(self, receiver: Receiver) -> Port:
        """How a receiver of a layer reads. Raises SiteError with the reason where that is not known."""
        return _established(
            self.ports.get((receiver.layer or 0, receiver.slot), "there is no such layer"), receiver.name
        )

    def heads_of(self, layer: int) -> HeadsOut:
        """How a layer's heads write. Raises SiteError with the reason where that is not known."""
        return _established(self.heads.get(layer, "there is no such layer"), f"L{layer}'s heads")

    def written(self, sender: Sender) -> Site:
        """The site that holds what a sender writes, or what it is computed from."""
        if sender.layer is None:
            return self.network.site("L0.resid_pre")
        if sender.head is not None:
            return self.heads_of(sender.layer).z
        return self.network.site(f"L{sender.layer}.mlp_out")

    def refuse_missing(self, part: Sender | Receiver) -> None:
        """Raise SiteError for a part that this model does not have."""
        if part.layer is None:
            return
        if part.layer >= self.depth:
            raise SiteError(f"{part.name} is not in this model: it has layers 0-{self.depth - 1}.")
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
    kept = _example(network)
    finders = [_Layer(network, kept, layer) for layer in range(depth)]
    ports = {(f.layer, slot): f.port(slot) for f in finders for slot in (*SLOTS, None)}
    parallel = tuple(structure.kinds[None, layer] == "parallel" for layer in range(depth))
    return Wiring(network, depth, parallel, ports, {f.layer: f.heads() for f in finders})


def _example(network: Network) -> Kept:
    names = ("resid_pre", "resid_mid", "attn_in", "q", "k", "v", "z", "attn_out", "mlp_in", "mlp_out")
    sites = [site for site in network.structure.sites.values() if site.name.stack is None and site.name.name in names]
    for inputs in network.examples:
        try:
            return forward(network, inputs, keep=sites, once=True)
        except CANNOT_RUN:
            continue
    raise SiteError("edges: there are no example inputs on which to see how this model's parts are wired.")


@dataclass(frozen=True)
class _Layer:
    """Evidence for one layer."""

    network: Network
    kept: Kept
    layer: int

    def port(self, slot: str | None) -> Port | str:
        """How q, k, v or the MLP (None) read."""
        name = "mlp_in" if slot is None else "attn_in"
        entry, site = self._site(name), self._site(slot or "mlp_in")
        for wanted, there in ((name, entry), (slot or "mlp_in", site)):
            if there is None:
                return str(self.network.why_not(f"L{self.layer}.{wanted}"))
        assert entry is not None and site is not None
        reading = self._reading(slot, self.kept.sites[entry])
        if isinstance(reading, str) or slot is None:
            return reading if isinstance(reading, str) else Port(site, reading)
        found = projection(self.network, site, self.kept.sites[entry], self.kept.sites[site])
        return found if isinstance(found, str) else Port(site, reading, found)

    def _reading(self, slot: str | None, read: Tensor) -> Reading | str:
        kind = self.network.structure.kinds[None, self.layer]
        stream = self._site("resid_mid" if slot is None and kind == "sequential" else "resid_pre")
        if stream is None:
            return f"the stream that it reads is not known ({self.network.why_not(f'L{self.layer}.resid_mid')})"
        x = self.kept.sites[stream]
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
        factor = 1.0
        for step in added.tap.view.steps:
            factor *= step.factor if isinstance(step, Scaled) else 1.0
        for norm in (None, added.tap.port.module):
            found = HeadsOut(z, out.tap, factor, norm)
            try:
                with torch.no_grad():
                    whole = found.whole(self.network, self.kept.sites[z])
                    if same(found.added(self.network, whole), self.kept.sites[added]):
                        return found
            except CANNOT_RUN:
                continue
        return "what attention adds is not the sum of what its heads write, nor a norm of it"

    def _site(self, name: str) -> Site | None:
        return self.network.structure.sites.get(SiteName(name, self.layer))


def same(left: Tensor, right: Tensor) -> bool:
    """Equal within rounding of the dtype, computed in another order."""
    exact = right.dtype in (torch.float32, torch.float64)
    scale = float(right.abs().max())
    return left.shape == right.shape and float((left - right).abs().max()) <= (1e-4 if exact else 5e-2) * scale
