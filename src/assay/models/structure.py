"""The map of a model's sites: found by evidence in one forward pass, with a reason for each that is absent.

Cost: one forward pass on 24 tokens, and for each block a search over sums of its submodules' outputs. A block like
its neighbour is explained by the neighbour's answer, which is checked, not assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from assay.core.sites import LAYER_SITES, SiteName
from assay.models.attention import IMPLEMENTATION, implementation_holders, using
from assay.models.block_sites import block_sites
from assay.models.ends import embedding_sites, final_sites, logits_site
from assay.models.residual import explain_block
from assay.models.stacks import Stack, find_stacks
from assay.models.taps import Tap
from assay.models.trace import Trace, trace
from assay.models.views import Frame

_RESIDUAL = ("batch", "pos", "d_model")
_HEADS = ("batch", "pos", "head", "d_head")
AXES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("q", "z", "q_rot", "cross_q", "cross_z"), _HEADS),
    **dict.fromkeys(("k", "v", "k_rot", "cross_k", "cross_v"), ("batch", "pos", "kv_head", "d_head")),
    **dict.fromkeys(("scores", "pattern", "cross_scores", "cross_pattern"), ("batch", "head", "query", "key")),
    **dict.fromkeys(("head_out", "cross_head_out"), ("batch", "pos", "head", "d_model")),
    **dict.fromkeys(("attn_norm_scale", "mlp_norm_scale", "final_norm_scale"), ("batch", "pos", "one")),
    **dict.fromkeys(("mlp_pre", "mlp_up", "mlp_post"), ("batch", "pos", "d_mlp")),
    **dict.fromkeys(("router", "expert_weights"), ("batch", "pos", "expert")),
    "logits": ("batch", "pos", "vocab"),
}
"""Axes by site name; all others are [batch, pos, d_model]."""

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True)
class Site:
    """A named place in a model. `sizes` are the fixed axis sizes; batch and positions vary with the input."""

    name: SiteName
    axes: tuple[str, ...] = field(compare=False)
    sizes: Mapping[str, int] = field(compare=False)
    writable: bool = field(compare=False)
    tap: Tap = field(repr=False, compare=False)

    @property
    def layer(self) -> int | None:
        """The layer it lies in, None outside the layers."""
        return self.name.layer

    def __str__(self) -> str:
        return str(self.name)


@dataclass(frozen=True)
class Structure:
    """All sites of a model in forward order, the reasons for absence, and what kind of block each layer is."""

    sites: Mapping[SiteName, Site]
    reasons: Mapping[SiteName, str]
    kinds: Mapping[tuple[str | None, int], str]
    sinks: Mapping[tuple[str | None, int], int]
    implementation: str
    native_shapes: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict, repr=False)

    @property
    def depth(self) -> Mapping[str | None, int]:
        """Number of layers of each stack."""
        found: dict[str | None, int] = {}
        for stack, layer in self.kinds:
            found[stack] = max(found.get(stack, 0), layer + 1)
        return found


def find_structure(native: nn.Module, inputs: Mapping[str, Any]) -> Structure:
    """Trace the model once and map its sites."""
    holders = implementation_holders(native)
    implementation, traced = _trace(native, inputs, holders)
    memory = traced.memory()
    sites: dict[SiteName, Site] = {}
    reasons: dict[SiteName, str] = {}
    kinds: dict[tuple[str | None, int], str] = {}
    sinks: dict[tuple[str | None, int], int] = {}
    for stack in find_stacks(native, traced):
        _map_stack(native, stack, traced, memory, (sites, reasons, kinds, sinks))
    taps, why = logits_site(traced)
    frame = Frame(1, 1)
    _record(sites, reasons, SiteName("logits"), taps.get("logits"), why.get("logits", ""), memory, frame, native)
    return Structure(sites, reasons, kinds, sinks, implementation, _native_shapes(traced))


EMPTY = Structure({}, {}, {}, {}, "eager")
"""The structure of a module that was not traced: native sites only."""


def _native_shapes(traced: Trace) -> dict[tuple[str, str], tuple[int, ...]]:
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    for event in traced.events:
        for side, tensors in (("in", event.inputs), ("out", event.outputs)):
            if tensors:
                shapes.setdefault((event.path, side), tuple(next(iter(tensors.values())).shape))
    return shapes


def _trace(native: nn.Module, inputs: Mapping[str, Any], holders: list[tuple[object, str]]) -> tuple[str, Trace]:
    """Trace under our attention function; where the model does not know it, under eager attention."""
    import torch

    with using(holders, "eager"):
        plain = trace(native, inputs)
    try:
        with using(holders, IMPLEMENTATION):
            traced = trace(native, inputs)
    except (KeyError, ValueError, AttributeError, TypeError, RuntimeError, LookupError):
        return "eager", plain
    same = all(
        a.outputs.keys() == b.outputs.keys() and all(torch.equal(t, b.outputs[k]) for k, t in a.outputs.items())
        for a, b in zip(traced.events[:1], plain.events[:1], strict=True)
    )
    reached = any(o.kind == "q" for o in traced.operations)
    return (IMPLEMENTATION, traced) if same and reached else ("eager", plain)


def _map_stack(
    native: nn.Module, stack: Stack, traced: Trace, memory: dict[Any, Tensor], into: tuple[dict[Any, Any], ...]
) -> None:
    sites, reasons, kinds, sinks = into
    experts = _n_experts(native)
    ends = embedding_sites(native, stack, traced)
    frame = stack.blocks[0].frame
    for name in ("embed", "pos_embed"):
        _record(
            sites,
            reasons,
            SiteName(name, stack=stack.name),
            ends[0].get(name),
            ends[1].get(name, ""),
            memory,
            frame,
            native,
        )
    explanation = None
    for layer, block in enumerate(stack.blocks):
        explanation = explain_block(block, explanation)
        found = block_sites(native, block, explanation, traced, experts)
        kinds[stack.name, layer], sinks[stack.name, layer] = found.kind, found.sinks
        for name in LAYER_SITES:
            why = found.reasons.get(name, "this block has no such part")
            site = SiteName(name, layer, stack.name)
            _record(sites, reasons, site, found.taps.get(name), why, memory, block.frame, native)
    ends = final_sites(native, stack, traced)
    for name in ("final_norm_scale", "final_norm"):
        _record(
            sites,
            reasons,
            SiteName(name, stack=stack.name),
            ends[0].get(name),
            ends[1].get(name, ""),
            memory,
            frame,
            native,
        )


def _record(
    sites: dict[SiteName, Site],
    reasons: dict[SiteName, str],
    name: SiteName,
    tap: Tap | None,
    why: str,
    memory: dict[Any, Tensor],
    frame: Frame,
    native: nn.Module,
) -> None:
    if tap is None or tap.port not in memory or any(p not in memory for p in tap.needs):
        reasons[name] = why or "native code does not pass it on"
        return
    axes = AXES.get(name.name, _RESIDUAL)
    value = tap.read(memory[tap.port], memory, frame, native)
    if value.ndim != len(axes):
        reasons[name] = f"its tensor has shape {tuple(value.shape)}, not [{', '.join(axes)}]"
        return
    fixed = {a: int(n) for a, n in zip(axes, value.shape, strict=True) if a not in ("batch", "pos", "query", "key")}
    sites[name] = Site(name, axes, fixed, writable=True, tap=tap)


def _n_experts(native: nn.Module) -> int | None:
    config = getattr(native, "config", None)
    config = getattr(config, "text_config", None) or config
    counts = [getattr(config, name, None) for name in _EXPERT_COUNTS]
    return next((int(c) for c in counts if isinstance(c, int) and c > 1), None)
