"""The unchanged pass of an input: what every variant is compared with, begins from, and reads its past from.

One plain forward pass. It leaves the residual stream before every block and after the last, and the keys and values that
attention received. Memory: for each example and position, layers × (d_model + 2 · kv_heads · d_head) numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.engine.hooks import alone
from assay.engine.narrowed import narrow
from assay.engine.passes import Kept, forward
from assay.models.attention import IMPLEMENTATION, Attend, attending, native_functions, using
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.ports import get_input, get_output
from assay.models.structure import Site


@dataclass
class Base:
    """What the unchanged pass left."""

    inputs: Mapping[str, Any]
    kept: Kept
    attention: Callable[[nn.Module], Attend]
    """The attention function of a module."""
    eager: bool = False
    stream: list[Float[Tensor, "batch pos d_model"]] = field(default_factory=list)
    """The residual stream before each block, and after the last."""
    past: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Keys and values [batch, kv_head, pos, d_head] by attention module."""
    arity: dict[nn.Module, int] = field(default_factory=dict)
    """How many things each block returns, of those that return a tuple."""
    repeated: bool = False
    """An attention module was called more than once, so its past is not one thing."""
    causal: bool = True
    """No query saw a key after it, in any attention."""


def base_pass(
    network: Network,
    chain: Chain | None,
    inputs: Mapping[str, Any],
    keep: Iterable[Site],
    *,
    eager: bool = False,
    read: Bool[Tensor, "batch pos"] | None = None,
    tokens: Int[Tensor, " named"] | None = None,
) -> Base:
    """Run an input unchanged; `eager` in the eager kernel, as passes are in which scores or pattern are touched.

    With `read` only those positions are unembedded; the output is NaN at the others. With `tokens`, into their logits only.
    """

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **rest: Any
    ) -> tuple[Tensor, Tensor | None]:
        base.repeated |= module in base.past
        base.past[module] = (key, value)
        base.causal &= _causal(mask, query.shape[2], key.shape[2])
        return base.attention(module)(module, query, key, value, mask, **rest)

    with ExitStack() as stack:
        stack.enter_context(alone(network))
        base = Base(inputs, Kept(None), native_functions(network.holders), eager)
        stack.enter_context(using(network.holders, network.structure.implementation))
        if network.structure.implementation == IMPLEMENTATION and not eager:
            stack.enter_context(attending(attend))
        for number, link in enumerate(chain.links if chain is not None else ()):
            module = network.modules[link.path]
            handle = module.register_forward_pre_hook(_entering(base, link.enters.key), with_kwargs=True)
            stack.callback(handle.remove)
            last = chain is not None and number == len(chain) - 1
            stack.callback(module.register_forward_hook(_leaving(base, link.leaves.key, last=last)).remove)
        with torch.no_grad():
            base.kept = narrow(network, read, lambda: forward(network, inputs, keep=keep, once=True), tokens=tokens)
    return base


def inside_attention(sites: Iterable[Site]) -> bool:
    """Whether any of them is seen only in the eager kernel's own softmax."""
    return any(site.tap.port.side in ("scores", "pattern") for site in sites)


def _entering(base: Base, key: Any) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        base.stream.append(get_input(args, kwargs, key).clone())

    return hook


def _leaving(base: Base, key: Any, *, last: bool) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if isinstance(out, tuple):
            base.arity[module] = len(out)
        if last:
            base.stream.append(get_output(out, key).clone())

    return hook


def _causal(mask: Tensor | None, queries: int, keys: int) -> bool:
    if queries == 1 and keys == 1:
        return True
    if mask is None or mask.ndim != 4 or mask.shape[-2:] != (queries, keys) or queries != keys:
        return False
    later = torch.ones(queries, keys, dtype=torch.bool, device=mask.device).triu(1)
    seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    return not bool((seen & later).any())
