"""Edges between whole layers cut by hand, with torch's own hooks on the native model: nothing of assay is used.

Each layer has an input of its own, the sum of what each sender wrote, here or in the other run, as the mask says. What it
makes of that is what native code hands on when that input is put into it, in a pass on the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Reads = Callable[[str, str], bool]
"""Whether a receiver reads what a sender writes here (True) or in the other run."""


@dataclass
class BlocksByHand:
    """A native model and its layers. `stream` is the keyword that the stream is given by, None for the first argument.

    `extras` are arguments that the embedding alone decides, by place or keyword.
    """

    native: nn.Module
    layers: Sequence[nn.Module]
    stream: str | None = None
    extras: Sequence[int | str] = ()
    seen: dict[int, dict[int | str, Tensor]] = field(default_factory=dict)

    @torch.no_grad()
    def handed_on(
        self, ids: Tensor, layer: int, x: Tensor | None, given: dict[int | str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """What enters and leaves a layer on these tokens, with another stream and other extras put into it."""
        ends: list[Tensor] = []

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            changed, named = list(args), dict(kwargs)
            for key, value in (given or {}).items():
                _put(changed, named, key, value)
            if x is not None:
                _put(changed, named, 0 if self.stream is None else self.stream, x)
            self.seen[layer] = {key: _got(args, kwargs, key).clone() for key in self.extras if _has(args, kwargs, key)}
            ends.append(_got(changed, named, 0 if self.stream is None else self.stream).clone())
            return tuple(changed), named

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            ends.append((out if isinstance(out, Tensor) else out[0]).clone())

        handles = [
            self.layers[layer].register_forward_pre_hook(before, with_kwargs=True),
            self.layers[layer].register_forward_hook(after),
        ]
        try:
            self.native(input_ids=ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return ends[0], ends[1]

    @torch.no_grad()
    def logits(self, ids: Tensor, stream: Tensor) -> Tensor:
        """With another stream behind the last layer."""

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
            return stream if isinstance(out, Tensor) else (stream, *out[1:])

        handle = self.layers[-1].register_forward_hook(after)
        try:
            found: Tensor = self.native(input_ids=ids, use_cache=False).logits
        finally:
            handle.remove()
        return found

    def run(
        self, ids: Tensor, reads: Reads, there: BlocksByHand | None = None, other: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what every sender wrote. `other` is what they wrote in the other run, which `there` made."""
        wrote = {"embed": self.handed_on(ids, 0, None)[0]}

        def input_of(receiver: str) -> Tensor:
            parts = (wrote[s] if other is None or reads(s, receiver) else other[s] for s in wrote)
            return torch.stack(list(parts)).sum(0)

        for layer in range(len(self.layers)):
            name, given = f"L{layer}.block", None
            if there is not None and not reads("embed", name):
                given = there.seen[layer]
            x = input_of(name)
            wrote[name] = self.handed_on(ids, layer, x, given)[1] - x
        return self.logits(ids, input_of("logits")), wrote


def _has(args: Sequence[Any], kwargs: dict[str, Any], key: int | str) -> bool:
    return key < len(args) and isinstance(args[key], Tensor) if isinstance(key, int) else key in kwargs


def _got(args: Sequence[Any], kwargs: dict[str, Any], key: int | str) -> Tensor:
    found: Tensor = args[key] if isinstance(key, int) else kwargs[key]
    return found


def _put(args: list[Any], kwargs: dict[str, Any], key: int | str, value: Tensor) -> None:
    if isinstance(key, int):
        args[key] = value
    else:
        kwargs[key] = value
