"""The parts of a model that node-level methods patch, ablate and score: their names, and the sites where they are.

granularity                              name              site
resid_pre, resid_mid, resid_post         L3.resid_pre      the residual stream there
block                                    L3.block          attn_out and mlp_out: all that a layer adds
attn, mlp                                L3.attn, L3.mlp   attn_out, mlp_out
head                                     L3.H2             z of one head
q, k, v                                  L3.H2.q           q of one head; k and v too where no heads share them
                                         L3.KV0.k          k, v of a key/value head that query heads share
pattern                                  L3.H2.pattern     the attention pattern of one head
neuron                                   L3.N17            one entry of mlp_post
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.core.errors import DataError, SettingsError, nearest
from assay.engine.model import Model

Granularity = Literal[
    "resid_pre", "resid_mid", "resid_post", "block", "attn", "mlp", "head", "q", "k", "v", "pattern", "neuron"
]
GRANULARITY = "what is one part: resid_pre, resid_mid, resid_post, block, attn, mlp, head, q, k, v, pattern or neuron"


@dataclass(frozen=True)
class Kind:
    """A granularity: the sites that make a part, and the axis along which a site has several parts."""

    sites: tuple[str, ...]
    axis: Literal["head", "dims"] | None
    suffix: str


KINDS: Mapping[str, Kind] = {
    **{name: Kind((name,), None, name) for name in ("resid_pre", "resid_mid", "resid_post")},
    "block": Kind(("attn_out", "mlp_out"), None, "block"),
    "attn": Kind(("attn_out",), None, "attn"),
    "mlp": Kind(("mlp_out",), None, "mlp"),
    "head": Kind(("z",), "head", "H{}"),
    **{name: Kind((name,), "head", "H{}." + name) for name in ("q", "k", "v", "pattern")},
    "neuron": Kind(("mlp_post",), "dims", "N{}"),
}
_NAME = re.compile(
    r"^L\d+\.(?:(?P<whole>resid_pre|resid_mid|resid_post|block|attn|mlp)|(?:H|KV)\d+(?:\.(?P<slot>q|k|v|pattern))?|(?P<n>N)\d+)$"
)


@dataclass(frozen=True)
class Part:
    """One part: its name, its granularity, the sites with their layer, and its index along the head or neuron axis."""

    name: str
    granularity: str
    layer: int
    sites: tuple[str, ...]
    index: int | None = None

    @property
    def where(self) -> dict[str, int]:
        """The selection at its sites, as edits take it."""
        axis = KINDS[self.granularity].axis
        return {} if axis is None or self.index is None else {axis: self.index}


EMBED = Part("embed", "resid_pre", 0, ("L0.resid_pre",))
"""What enters the first layer."""


def parts_of(model: Model, granularity: str, layers: Sequence[int] | None = None) -> tuple[Part, ...]:
    """All parts of a granularity in forward order, or those in some layers.

    Raises:
        SiteError: the model lacks such sites; the message says why.
        SettingsError: there is no such granularity, or a layer has no such part.
    """
    if granularity not in KINDS:
        known = ", ".join(KINDS)
        raise SettingsError(f"{granularity!r} is no granularity: expected {known}.{nearest(granularity, KINDS)}")
    kind = KINDS[granularity]
    there: dict[int, list[str]] = {}
    counts: dict[int, int] = {}
    for site in (site for name in kind.sites for site in model.network.sites_named(name)):
        if site.layer is not None:
            there.setdefault(site.layer, []).append(str(site))
            counts[site.layer] = _count(site.sizes, kind)
    if layers is not None and (missing := [layer for layer in layers if layer not in there]):
        raise SettingsError(f"layer {missing[0]} has no {granularity}: layers {sorted(there)} have one.")
    chosen = sorted(there) if layers is None else sorted(set(layers))
    shared = granularity in ("k", "v") and any(counts[layer] != _queries(model, layer) for layer in chosen)
    return tuple(
        _part(granularity, layer, tuple(there[layer]), i, shared) for layer in chosen for i in range(counts[layer])
    )


def parts_named(model: Model, names: Sequence[str]) -> tuple[Part, ...]:
    """The parts of these names.

    Raises:
        DataError: a name is not one of this model's parts.
    """
    known: dict[str, Part] = {}
    loaded: set[str] = set()
    for name in names:
        granularity = granularity_of(name)
        if granularity not in loaded:
            loaded.add(granularity)
            known |= {part.name: part for part in parts_of(model, granularity)}
        if name not in known:
            raise DataError(f"{name!r} is not in this model.{nearest(name, known)}")
    return tuple(known[name] for name in names)


def granularity_of(name: str) -> str:
    """`L3.H2` → "head".

    Raises:
        DataError: it is the name of no part.
    """
    match = _NAME.match(name) if isinstance(name, str) else None
    if match is None:
        raise DataError(f"{name!r} is not the name of a part: expected one such as L3.H2, L3.H2.q, L3.mlp, L3.N17.")
    return match["whole"] or match["slot"] or ("neuron" if match["n"] else "head")


def _count(sizes: Mapping[str, int], kind: Kind) -> int:
    if kind.axis is None:
        return 1
    return next(sizes[axis] for axis in ("head", "kv_head", "d_mlp") if axis in sizes)


def _queries(model: Model, layer: int) -> int:
    return model.site(f"L{layer}.z").sizes["head"]


def _part(granularity: str, layer: int, sites: tuple[str, ...], index: int, shared: bool) -> Part:
    kind = KINDS[granularity]
    label = kind.suffix.format(index)
    label = label.replace("H", "KV", 1) if shared else label
    return Part(f"L{layer}.{label}", granularity, layer, sites, None if kind.axis is None else index)
