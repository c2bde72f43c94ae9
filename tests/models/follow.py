"""Following native code by hand: what its modules read and return, seen without assay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One call of a module: its tensors in order, and what it returned."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    @property
    def x(self) -> Tensor:
        """The first floating tensor that was read."""
        return next(a for a in (*self.args, *self.kwargs.values()) if isinstance(a, Tensor) and a.is_floating_point())

    @property
    def y(self) -> Tensor:
        """The first tensor that was returned."""
        return self.out if isinstance(self.out, Tensor) else next(t for t in self.out if isinstance(t, Tensor))


def follow(native: nn.Module, inputs: dict[str, Any]) -> tuple[dict[str, Call], Any]:
    """The last call of every module in one plain pass, by path, and the model's output."""
    calls: dict[str, Call] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            copy = lambda v: v.clone() if isinstance(v, Tensor) else v
            kept = tuple(map(copy, out)) if isinstance(out, tuple) else copy(out)
            calls[path] = Call(tuple(map(copy, args)), {n: copy(v) for n, v in kwargs.items()}, kept)

        return hook

    handles = [m.register_forward_hook(note(path), with_kwargs=True) for path, m in native.named_modules()]
    with torch.no_grad():
        out = native(**inputs)
    for handle in handles:
        handle.remove()
    return calls, out


@contextmanager
def replaced(
    native: nn.Module, path: str, change: Callable[[Tensor], Tensor], *, entering: bool = False
) -> Iterator[None]:
    """Native code changed by hand: what a module returns, or reads first, is another tensor while this lasts."""
    module = native.get_submodule(path)

    def after(_: nn.Module, args: Any, out: Any) -> Any:
        return change(out) if isinstance(out, Tensor) else (change(out[0]), *out[1:])

    def before(_: nn.Module, args: Any) -> Any:
        return (change(args[0]), *args[1:])

    handle = module.register_forward_pre_hook(before) if entering else module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
