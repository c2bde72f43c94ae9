"""Ports: the points of native code at which a tensor passes and can be replaced.

A port is a module's input or output, or an operation inside its attention (`softmax`, or an argument of the attention
function). It names one tensor of one call: `key` says which argument or which element of the output, `call` which call
of the module within one forward pass (a module may be called more than once, as a shared dropout is).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

Side = Literal["in", "out", "q", "k", "v", "scores", "pattern"]
Key = int | str | tuple[int | str, ...] | None
"""Which argument or element of the output; several are one tensor, as wide as all of them."""
FIRST = "*"
"""The key that means the first floating tensor, whatever its place: native sites are named without one."""


@dataclass(frozen=True)
class Port:
    """One tensor at one point of the native code."""

    module: str
    side: Side
    key: Key = None
    call: int = 0

    def __hash__(self) -> int:
        return self.hashed

    @cached_property
    def hashed(self) -> int:
        """Its hash, computed once: a pass looks ports up at every module."""
        return hash((self.module, self.side, self.key, self.call))

    def __reduce__(self) -> tuple[type[Port], tuple[str, Side, Key, int]]:
        return Port, (self.module, self.side, self.key, self.call)  # another process hashes strings otherwise

    @property
    def in_attention(self) -> bool:
        """True for a tensor inside the attention operation, which only the attention tap can reach."""
        return self.side not in ("in", "out")


def floating_inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[Key, Tensor]:
    """The floating tensors among a call's arguments, by position or keyword, in order."""
    found: dict[Key, Tensor] = {i: a for i, a in enumerate(args) if _floating(a)}
    found.update({name: a for name, a in kwargs.items() if _floating(a)})
    return found


def floating_outputs(out: Any) -> dict[Key, Tensor]:
    """The floating tensors of a module's output: `None` for a bare tensor, else by index or field name."""
    if isinstance(out, Tensor):
        return {None: out} if _floating(out) else {}
    if isinstance(out, Mapping):
        return {name: v for name, v in out.items() if _floating(v)}
    if isinstance(out, (tuple, list)):
        return {i: v for i, v in enumerate(out) if _floating(v)}
    return {}


def get_input(args: tuple[Any, ...], kwargs: Mapping[str, Any], key: Key) -> Any:
    """The argument at `key`."""
    if isinstance(key, tuple):
        return torch.cat([get_input(args, kwargs, one) for one in key], -1)
    if key == FIRST:
        key = next(iter(floating_inputs(args, kwargs)))
    return args[key] if isinstance(key, int) else kwargs[key]  # type: ignore[index]


def put_input(
    args: tuple[Any, ...], kwargs: dict[str, Any], key: Key, value: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the one at `key` replaced."""
    if isinstance(key, tuple):
        sizes = [get_input(args, kwargs, one).shape[-1] for one in key]
        for one, part in zip(key, value.split(sizes, -1), strict=True):
            args, kwargs = put_input(args, kwargs, one, part)
        return args, kwargs
    if key == FIRST:
        key = next(iter(floating_inputs(args, kwargs)))
    if isinstance(key, int):
        return (*args[:key], value, *args[key + 1 :]), kwargs
    return args, {**kwargs, str(key): value}


def get_output(out: Any, key: Key) -> Any:
    """The element of a module's output at `key`."""
    if isinstance(key, tuple):
        return torch.cat([get_output(out, one) for one in key], -1)
    if key == FIRST:
        key = next(iter(floating_outputs(out)))
    return out if key is None else out[key]


def put_output(out: Any, key: Key, value: Tensor) -> Any:
    """The output with the element at `key` replaced; its own type is kept."""
    if isinstance(key, tuple):
        sizes = [get_output(out, one).shape[-1] for one in key]
        for one, part in zip(key, value.split(sizes, -1), strict=True):
            out = put_output(out, one, part)
        return out
    if key == FIRST:
        key = next(iter(floating_outputs(out)))
    if key is None:
        return value
    if isinstance(out, Mapping):
        out[key] = value  # type: ignore[index]
        return out
    items = list(out)
    items[key] = value  # type: ignore[index]
    return type(out)(*items) if hasattr(out, "_fields") else type(out)(items)


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
