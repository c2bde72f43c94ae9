"""The attention tap: one attention function for every model, and a softmax that can be listened to.

transformers lets a model look its attention function up by name. `assay` is registered under that name; it shows a
listener the query, key and value that attention really receives, and then calls the *model file's own* eager function,
so every architecture's soft caps, sinks, biases and windows stay its own and the result is bit-identical to `eager`.
Scores and pattern are the input and the output of the softmax inside, seen through a torch function mode that is
active only within the attention module: so architectures with attention code of their own (Bloom, Falcon, MPT, …) are
reached as well.

Cost: nothing unless a listener is set; then the eager kernel instead of a fused one, and a Python call per torch call
inside attention.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from assay.models.ports import Side

IMPLEMENTATION = "assay"
SOFTMAX: frozenset[Any] = frozenset({nn.functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax})


Wanted = Literal["nothing", "to read the pattern", "scores and pattern"]
"""What is asked for of a softmax."""


class Listener(Protocol):
    """Sees, and may replace, tensors inside attention."""

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        """Called with each tensor inside `module`'s attention; `index` counts softmaxes within one call of it."""

    def wants_softmax(self, module: nn.Module) -> Wanted:
        """What it asks for of this module's softmax when attention is computed for it."""


class _InTurn:
    """Two listeners, of which the second sees what the first has made."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        for listener in self.listeners:
            value = listener.attention(module, side, value, index)
        return value

    def wants_softmax(self, module: nn.Module) -> Wanted:
        wanted = {listener.wants_softmax(module) for listener in self.listeners} - {"nothing"}
        return "nothing" if not wanted else wanted.pop() if len(wanted) == 1 else "scores and pattern"


_listener: ContextVar[Listener | None] = ContextVar("assay_attention_listener", default=None)

Attend = Callable[..., tuple[Tensor, Tensor | None]]
"""A function with the arguments of `assay_attention` that stands in for the model file's own."""

_attend: ContextVar[Attend | None] = ContextVar("assay_attention_stand_in", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener` see every attention call in this context, after those of the contexts around it."""
    outer = _listener.get()
    token = _listener.set(listener if outer is None else _InTurn(outer, listener))
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def attending(function: Attend) -> Iterator[None]:
    """Let `function` compute attention in this context: a schedule decides there which queries meet which keys."""
    token = _attend.set(function)
    try:
        yield
    finally:
        _attend.reset(token)


class SoftmaxMode(TorchFunctionMode):
    """Shows a listener the input (`scores`) and output (`pattern`) of every softmax that `module` computes."""

    def __init__(self, module: nn.Module, listener: Listener) -> None:
        super().__init__()
        self.module, self.listener, self.calls = module, listener, 0
        self.pattern: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in SOFTMAX:
            return func(*args, **(kwargs or {}))
        scores, rest, named = (args[0], args[1:], kwargs or {}) if args else (None, (), dict(kwargs or {}))
        if scores is None:
            scores = named.pop("input")
        if scores.ndim < 3:  # a router's
            return func(scores, *rest, **named)
        index, self.calls = self.calls, self.calls + 1
        scores = self.listener.attention(self.module, "scores", scores, index)
        self.pattern = self.listener.attention(self.module, "pattern", func(scores, *rest, **named), index)
        return self.pattern


def assay_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The attention function that is registered with transformers under the name `assay`."""
    listener = _listener.get()
    if listener is not None:
        query = listener.attention(module, "q", query, 0)
        key = listener.attention(module, "k", key, 0)
        value = listener.attention(module, "v", value, 0)
    stand_in = _attend.get()
    function = stand_in or eager_function(module)
    wanted = "nothing" if listener is None else listener.wants_softmax(module)
    if listener is None or wanted == "nothing":
        return function(module, query, key, value, attention_mask, **kwargs)
    plain = stand_in is None and not module.training
    if wanted == "to read the pattern" and plain and module in _returned:
        out, weights = function(module, query, key, value, attention_mask, **kwargs)
        if weights is not None:
            listener.attention(module, "pattern", weights, 0)
            return out, weights
    # the mode slows every torch call under it, so it covers no more than attention itself
    with SoftmaxMode(module, listener) as seen:
        out, weights = function(module, query, key, value, attention_mask, **kwargs)
    if plain and seen.calls == 1 and weights is not None and weights is seen.pattern:
        _returned.add(module)
    return out, weights


_returned: WeakSet[nn.Module] = WeakSet()
"""Modules whose attention function was seen to return the softmax's own output: it can be read there."""


def eager_function(module: nn.Module) -> Callable[..., Any]:
    """The eager attention function of the file that defines the module's class (or the class it derives from)."""
    for cls in type(module).__mro__:
        function = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if function is not None:
            return function  # type: ignore[no-any-return]
    raise LookupError(f"{type(module).__module__} defines no eager_attention_forward")


def native_functions(holders: list[tuple[object, str]]) -> Callable[[nn.Module], Attend]:
    """The attention function that a module would use as the model stands now: torch's fused one, or its file's eager one.

    Ask before the implementation is exchanged. Other kernels (flash attention) can't be given a mask: eager stands in.
    """
    now = {id(holder): getattr(holder, name) for holder, name in holders}

    def of(module: nn.Module) -> Attend:
        chosen = now.get(id(getattr(module, "config", None)), next(iter(now.values()), "eager"))
        return AttentionInterface()["sdpa"] if chosen == "sdpa" else eager_function(module)

    return of


def register() -> None:
    """Make `attn_implementation="assay"` known to transformers. Safe to call more than once."""
    AttentionInterface.register(IMPLEMENTATION, assay_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


def implementation_holders(native: nn.Module) -> list[tuple[object, str]]:
    """Every (object, attribute) that names the attention implementation: configs, and modules that keep a copy."""
    found: dict[tuple[int, str], tuple[object, str]] = {}
    for module in native.modules():
        config = getattr(module, "config", None)
        if config is not None and getattr(config, "_attn_implementation_internal", None) is not None:
            found[id(config), "c"] = (config, "_attn_implementation_internal")
        for name in ("_attn_implementation", "attn_implementation"):
            if isinstance(module.__dict__.get(name), str):
                found[id(module), name] = (module, name)
    return list(found.values())


@contextmanager
def using(holders: list[tuple[object, str]], implementation: str) -> Iterator[None]:
    """Run the model with another attention implementation in this context; the former one is restored after it."""
    before = [getattr(holder, name) for holder, name in holders]
    try:
        for holder, name in holders:
            setattr(holder, name, implementation)
        yield
    finally:
        for (holder, name), value in zip(holders, before, strict=True):
            setattr(holder, name, value)


register()
