"""Which groups of sites an architecture has, in how many of the layers that could have them, and why the rest are absent."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.subject import Layer, Subject

from assay.core.sites import SiteName

GROUPS: dict[str, tuple[str, ...]] = {
    "residual": ("resid_pre", "resid_post"),
    "block outputs": ("attn_out", "mlp_out", "ssm_out", "cross_attn_out"),
    "q, k, v": ("q", "k", "v"),
    "scores, pattern": ("scores", "pattern"),
    "z, head_out": ("z", "head_out"),
    "MLP internals": ("mlp_in", "mlp_pre", "mlp_post"),
    "norms": ("attn_norm_scale", "mlp_norm_scale"),
    "router": ("router", "expert_weights"),
    "SSM": ("ssm_in", "ssm_out"),
}
"""Columns of the table. In `block outputs` any one of them is enough; in the others all are needed."""

ATTENTION = ("q", "k", "v", "scores", "pattern", "z", "head_out")
"""A layer's attention internals, all of which the target counts."""
NEEDS: dict[str, tuple[str, ...]] = {
    "q, k, v": (*ATTENTION, "attn_out"), "scores, pattern": (*ATTENTION, "attn_out"),
    "z, head_out": (*ATTENTION, "attn_out"), "MLP internals": ("mlp_out",), "norms": ("attn_in", "mlp_in"),
    "router": ("router", "expert_weights"), "SSM": ("ssm_out",),
}  # fmt: skip
"""A layer could have a group if it has any of these sites; without an entry, every layer could."""


def groups(subject: Subject) -> dict[str, str]:
    """For each group: 'all', 'k of n' layers, or '–' where no layer could have it."""
    return {group: _status(subject, group) for group in GROUPS}


def _status(subject: Subject, group: str) -> str:
    could = [layer for layer in subject.layers if _has(subject, layer, NEEDS.get(group, GROUPS[group]), any)]
    if group in ("residual", "block outputs"):
        could = subject.layers
    enough = any if group == "block outputs" else all
    full = [layer for layer in could if _has(subject, layer, _wanted(subject, group, layer), enough)]
    if not could:
        return "–" if subject.layers else "none"
    return "all" if len(full) == len(could) else f"{len(full)} of {len(could)}"


def _wanted(subject: Subject, group: str, layer: Layer) -> tuple[str, ...]:
    """A norm's scale is only wanted in front of a part that the layer has."""
    if group != "norms":
        return GROUPS[group]
    parts = (("attn_in", "attn_norm_scale"), ("mlp_in", "mlp_norm_scale"))
    return tuple(scale for reader, scale in parts if subject.site(reader, layer) is not None)


def _has(subject: Subject, layer: Layer, names: tuple[str, ...], enough) -> bool:  # type: ignore[no-untyped-def]
    return bool(enough(subject.site(name, layer) is not None for name in names))


def residual_explained(subject: Subject) -> bool:
    """Every layer's input, output and additions are sites."""
    return bool(subject.layers) and all(
        kind != "unknown" and _has(subject, layer, GROUPS["block outputs"], any)
        for layer, kind in subject.network.structure.kinds.items()
    )


def attention_inside(subject: Subject) -> bool:
    """At least one layer attends, and every layer that does has all attention internals."""
    attending = [layer for layer in subject.layers if _has(subject, layer, (*ATTENTION, "attn_out"), any)]
    return bool(attending) and all(_has(subject, layer, ATTENTION, all) for layer in attending)


def reasons(subject: Subject) -> dict[str, str]:
    """Why a site is absent in layers where a neighbour in the same group is present, or its group is missing at all."""
    found: dict[str, str] = {}
    for name, layer in _absent(subject):
        why = subject.network.structure.reasons.get(SiteName(name, layer[1], layer[0]))
        if why is not None and not why.startswith("this block has no "):
            found.setdefault(name, why)
    return found


def _absent(subject: Subject) -> Iterator[tuple[str, Layer]]:
    for group, names in GROUPS.items():
        for layer in subject.layers:
            if group in NEEDS and not _has(subject, layer, NEEDS[group], any):
                continue
            if group == "block outputs" and _has(subject, layer, names, any):
                continue
            yield from ((name, layer) for name in names if subject.site(name, layer) is None)
