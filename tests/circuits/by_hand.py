"""Patches by hand: native modules, forward hooks, nothing of assay's engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from assay.data.pairs import Pairs
from assay.engine.model import Model


def difference(model: Model, pairs: Pairs, ids: Tensor) -> Tensor:
    """The logit difference at the last position, for each example."""
    with torch.no_grad():
        logits = model.native(input_ids=ids).logits[:, -1]
    rows = torch.arange(len(pairs))
    return logits[rows, pairs.answer_ids] - logits[rows, pairs.wrong_ids]


def kept(model: Model, module: str, ids: Tensor, side: str) -> Tensor:
    """What a module reads ("in") or returns ("out")."""
    found: list[Tensor] = []
    handle = hooked(model, module, side, lambda value: (found.append(value.clone()), value)[1])
    with torch.no_grad():
        model.native(input_ids=ids)
    handle.remove()
    return found[0]


def hooked(model: Model, module: str, side: str, change: Callable[[Tensor], Tensor]) -> Any:
    """A hook that changes what a module reads or returns."""
    target = model.native.get_submodule(module)
    if side == "in":
        return target.register_forward_pre_hook(lambda m, args: (change(args[0]), *args[1:]))

    def after(m: object, args: object, out: Any) -> Any:
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    return target.register_forward_hook(after)


def with_changes(
    model: Model, pairs: Pairs, ids: Tensor, changes: list[tuple[str, str, Callable[[Tensor], Tensor]]]
) -> Tensor:
    """The logit difference with several modules changed."""
    handles = [hooked(model, module, side, change) for module, side, change in changes]
    try:
        return difference(model, pairs, ids)
    finally:
        for handle in handles:
            handle.remove()


def put(columns: slice, value: Tensor, positions: slice = slice(None)) -> Callable[[Tensor], Tensor]:
    """Replace some columns of a module's tensor [batch, pos, d] by another tensor's, at some positions."""

    def change(tensor: Tensor) -> Tensor:
        new = tensor.clone()
        new[:, positions, columns] = value.expand_as(tensor)[:, positions, columns]
        return new

    return change
