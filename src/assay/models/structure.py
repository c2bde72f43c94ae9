"""The map of a model's sites: found by evidence in one forward pass, with a reason for each that is absent.

Cost: one forward pass on 24 tokens, and for each block a search over sums of its submodules' outputs. A block like
its neighbour is explained by the neighbour's answer, which is checked, not assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from assay.core.sites import LAYER_SITES, SiteName
from assay.models.attention import IMPLEMENTATION, implementation_holders, using
from assay.models.block_sites import block_sites
from assay.models.chain import Chain, chain_of
from assay.models.codebooks import by_example
from assay.models.ends import embedding_sites, final_sites, logits_site
from assay.models.norms import CANNOT_RUN
from assay.models.ports import floating_outputs
from assay.models.residual import explain_block
from assay.models.sharded import PARTED, why_parted
from assay.models.side_lists import with_what_follows
from assay.models.stacks import Stack, find_stacks
from assay.models.taps import Direct, Passing, Tap
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

_VARYING = ("batch", "pos", "query", "key")
_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True)
class Site:
    """A named place in a model. `sizes` are the fixed axis sizes; batch and positions vary with the input."""

    name: SiteName
    axes: tuple[str, ...] = field(compare=False)
    sizes: Mapping[str, int] = field(compare=False)
    writable: bool = field(compare=False)
    tap: Tap = field(repr=False, compare=False)

    def __hash__(self) -> int:
        return self.name.hashed

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
    stream_norms: Mapping[tuple[str | None, int], tuple[tuple[Direct, Direct], ...]] = field(
        default_factory=dict, repr=False
    )
    """In post-norm blocks, the norms that hand on the stream: where each reads the sum, and what it gives."""
    chains: tuple[Chain, ...] = field(default=(), repr=False)
    """The stacks as chains of blocks, for schedules that enter them in the middle."""
    interface: frozenset[str] = frozenset()
    """Modules that compute attention once a call, and by the function that is registered with transformers."""
    failure: str | None = None
    """Why the model could not be traced."""
    rescaled: Mapping[tuple[str | None, int], str] = field(default_factory=dict)
    """The layers that multiply their whole stream at the end: by which of the model's weights."""

    @property
    def main_chain(self) -> Chain | None:
        """The chain of the language stack: the only one, or the decoder."""
        chains = {chain.stack: chain for chain in self.chains}
        return chains.get(None) or chains.get("dec")

    @property
    def depth(self) -> Mapping[str | None, int]:
        """Number of layers of each stack."""
        found: dict[str | None, int] = {}
        for stack, layer in self.kinds:
            found[stack] = max(found.get(stack, 0), layer + 1)
        return found


def structure_of(native: nn.Module, choices: Sequence[Mapping[str, Any]]) -> Structure:
    """The structure found on the first of several inputs with which the model runs; without any, an untraced one."""
    failures = []
    for inputs in choices:
        try:
            return find_structure(native, by_example(inputs, native))
        except CANNOT_RUN as error:
            failures.append(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    if not failures:
        return untraced("it is no transformers model, so what it takes is not known: give inputs= to load")
    return untraced(f"it could not be run on example inputs ({failures[0][:120]}): give inputs= to load")


def find_structure(native: nn.Module, inputs: Mapping[str, Any]) -> Structure:
    """Trace the model once and map its sites."""
    holders = implementation_holders(native)
    implementation, traced = _trace(native, inputs, holders)
    found = _Map(native, traced)
    stacks = [with_what_follows(stack, native, traced) for stack in find_stacks(native, traced)]
    for stack in stacks:
        found.add_stack(stack)
    found.add(("logits",), SiteName, *logits_site(native, traced), Frame(1, 1))
    if (parted := why_parted(native)) is not None:
        found.drop(PARTED, parted)
    chains = tuple(chain_of(stack) for stack in stacks)
    shapes = _native_shapes(traced)
    return Structure(
        found.sites, found.reasons, found.kinds, found.sinks, implementation, shapes, found.norms, chains, _interface(traced),
        rescaled=found.rescaled,
    )  # fmt: skip


def untraced(failure: str) -> Structure:
    """The structure of a module that was not traced: native sites only."""
    return Structure({}, {}, {}, {}, "eager", failure=failure)


def _interface(traced: Trace) -> frozenset[str]:
    counts: dict[str, Counter[tuple[str, int]]] = {}
    for o in traced.operations:
        if o.kind in ("q", "softmax"):
            counts.setdefault(o.path, Counter())[o.kind, o.call] += 1
    return frozenset(
        path
        for path, seen in counts.items()
        if set(seen.values()) == {1} and {c for k, c in seen if k == "q"} == {c for k, c in seen if k == "softmax"}
    )


def _native_shapes(traced: Trace) -> dict[tuple[str, str], tuple[int, ...]]:
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    for event in traced.events:
        for side, tensors in (("in", event.inputs), ("out", event.outputs)):
            if tensors:
                shapes.setdefault((event.path, side), tuple(next(iter(tensors.values())).shape))
    return shapes


def _trace(native: nn.Module, inputs: Mapping[str, Any], holders: list[tuple[object, str]]) -> tuple[str, Trace]:
    """Trace under our attention function; where the model does not know it, under eager attention."""
    with using(holders, "eager"), torch.no_grad():
        plain = floating_outputs(native(**inputs))
    try:
        with using(holders, IMPLEMENTATION):
            traced = trace(native, inputs)
    except (KeyError, ValueError, AttributeError, TypeError, RuntimeError, LookupError):
        traced = None
    if traced is not None and any(o.kind == "q" for o in traced.operations):
        ours = traced.events[0].outputs
        if ours.keys() == plain.keys() and all(torch.equal(t, plain[k]) for k, t in ours.items()):
            return IMPLEMENTATION, traced
    with using(holders, "eager"):
        return "eager", trace(native, inputs)


class _Map:
    """Sites and reasons, as they are found."""

    def __init__(self, native: nn.Module, traced: Trace) -> None:
        self.native, self.traced, self.memory = native, traced, traced.memory()
        self.sites: dict[SiteName, Site] = {}
        self.reasons: dict[SiteName, str] = {}
        self.kinds: dict[tuple[str | None, int], str] = {}
        self.sinks: dict[tuple[str | None, int], int] = {}
        self.norms: dict[tuple[str | None, int], tuple[tuple[Direct, Direct], ...]] = {}
        self.rescaled: dict[tuple[str | None, int], str] = {}

    def add_stack(self, stack: Stack) -> None:
        """Embeddings, blocks and final norm of one stack."""
        frame, experts = stack.blocks[0].frame, _n_experts(self.native)
        outside = partial(SiteName, stack=stack.name)
        self.add(("embed", "pos_embed"), outside, *embedding_sites(self.native, stack, self.traced), frame)
        explanation = None
        for layer, block in enumerate(stack.blocks):
            explanation = explain_block(block, explanation, _numbers(self.native, block.event.path))
            found = block_sites(self.native, block, explanation, self.traced, experts)
            self.kinds[stack.name, layer], self.sinks[stack.name, layer] = found.kind, found.sinks
            norms = explanation.norms if explanation is not None else ()
            self.norms[stack.name, layer] = tuple((Direct(n.source, n.view), Direct(n.port, n.view)) for n in norms)
            if explanation is not None and explanation.rescaled is not None:
                self.rescaled[stack.name, layer] = explanation.rescaled
            inside = partial(SiteName, layer=layer, stack=stack.name)
            self.add(LAYER_SITES, inside, found.taps, found.reasons, block.frame, found.read_only)
        self.add(("final_norm_scale", "final_norm"), outside, *final_sites(self.native, stack, self.traced), frame)

    def add(
        self,
        names: Iterable[str],
        full: Callable[[str], SiteName],
        taps: Mapping[str, Tap],
        reasons: Mapping[str, str],
        frame: Frame,
        read_only: Collection[str] = (),
    ) -> None:
        """Record each of `names`: as a site, or why it is none."""
        for name in names:
            tap, site = taps.get(name), full(name)
            if tap is None or tap.port not in self.memory or any(p not in self.memory for p in tap.needs):
                self.reasons[site] = reasons.get(name, "this block has no such part")
                continue
            axes = AXES.get(name, _RESIDUAL)
            value = tap.read(self.memory[tap.port], Passing(frame, self.native, self.memory))
            if value.ndim != len(axes):
                self.reasons[site] = f"its tensor has shape {tuple(value.shape)}, not [{', '.join(axes)}]"
                continue
            sizes = {a: int(n) for a, n in zip(axes, value.shape, strict=True) if a not in _VARYING}
            self.sites[site] = Site(site, axes, sizes, name not in read_only, tap)

    def drop(self, axes: Collection[str], why: str) -> None:
        """Take out sites that have any of these axes."""
        for name in [name for name, site in self.sites.items() if not frozenset(axes).isdisjoint(site.axes)]:
            del self.sites[name]
            self.reasons[name] = why


def _numbers(native: nn.Module, path: str) -> dict[str, float]:
    """Single numbers that a module itself keeps among its weights."""
    module = native.get_submodule(path)
    own = {**module._parameters, **module._buffers}
    single = {name: one for name, one in own.items() if one is not None and one.numel() == 1 and not one.is_meta}
    return {f"{path}.{name}": float(one) for name, one in single.items()}


def _n_experts(native: nn.Module) -> int | None:
    config = getattr(native, "config", None)
    config = getattr(config, "text_config", None) or config
    counts = [getattr(config, name, None) for name in _EXPERT_COUNTS]
    return next((int(c) for c in counts if isinstance(c, int) and c > 1), None)
