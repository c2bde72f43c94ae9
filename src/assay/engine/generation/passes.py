"""Native passes of a generation for any rows: arguments prepared as the native `generate` prepares them.

What a pass leaves for the next ones (the key/value cache, position ids) is kept by row, so that rows can be repeated,
and leave when they are finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Arguments = dict[str, Any]
"""Keyword arguments of native passes: the cache, position ids, whether to cache."""


class UnsuitedError(Exception):
    """This model, or its settings, can't be generated in a batch of rows; the message says why."""


@dataclass
class Work:
    """What was computed."""

    passes: int = 0
    rows: int = 0
    token_layers: int = 0

    def add(self, rows: int, token_layers: int) -> None:
        """One more pass."""
        self.passes += 1
        self.rows += rows
        self.token_layers += token_layers


@dataclass(frozen=True)
class State:
    """Where generation stands: texts so far, arguments of the next pass, and what the last one says of the next token."""

    ids: Int[Tensor, "row pos"]
    arguments: Arguments
    logits: Float[Tensor, "row vocab"]

    def select(self, rows: Sequence[int], *, copy: bool = False) -> State:
        """Some rows, in any order and number. Without `copy` this state's cache is the new one's, and is used up."""
        if list(rows) == list(range(self.ids.shape[0])) and not copy:
            return self
        index = torch.tensor(rows, device=self.ids.device)
        given = copied(self.arguments) if copy else self.arguments
        for cache in caches(given).values():
            reorder(cache, index)
        arguments = selected(given, index, self.ids.shape[0])
        return State(self.ids[index], arguments, self.logits[index.to(self.logits.device)])


def advance(
    native: nn.Module, ids: Tensor, arguments: Mapping[str, Any], *, new: int | None, first: bool = False
) -> tuple[Float[Tensor, "row vocab"], Arguments]:
    """One native pass over the last `new` tokens (None: all), and the arguments for the next."""
    model: Any = native
    given = model.prepare_inputs_for_generation(ids, next_sequence_length=new, is_first_iteration=first, **arguments)
    out = model(**given, return_dict=True)
    after = model._update_model_kwargs_for_generation(out, dict(arguments), is_encoder_decoder=False)
    return out.logits[:, -1], after


def caches(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The caches among native arguments, by name: what can be put into another order of rows."""
    return {name: value for name, value in arguments.items() if hasattr(value, "reorder_cache")}


def copied(arguments: Mapping[str, Any]) -> Arguments:
    """The same with caches of their own."""
    return {**arguments, **{name: deepcopy(cache) for name, cache in caches(arguments).items()}}


def reorder(cache: Any, index: Tensor) -> None:
    """Put a cache into another order of rows. Raises UnsuitedError where it keeps something in the old one."""
    cache.reorder_cache(index)
    if any(tensor.ndim > 2 and len(index) not in tensor.shape[:2] for tensor in _tensors(cache)):
        raise UnsuitedError(f"its {type(cache).__name__} keeps a state that does not follow its rows")


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors inside a cache."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif type(value).__module__.startswith("transformers") and hasattr(value, "__dict__"):
        yield from _tensors(vars(value))


def slides(arguments: Mapping[str, Any], tokens: int) -> bool:
    """Whether a cache has let go of some of so many tokens, because a layer sees only the last of them."""
    layers = [layer for cache in caches(arguments).values() for layer in getattr(cache, "layers", ())]
    return any(tokens >= layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False))


def agree(here: Tensor, there: Tensor) -> bool:
    """Whether logits are equal up to rounding, relative to the largest: 1e-4 in single precision, where it is about 1e-6."""
    half = here.dtype not in (torch.float32, torch.float64)
    return bool((here - there).abs().max() <= (0.05 if half else 1e-4) * there.abs().max())


def selected(arguments: Mapping[str, Any], index: Tensor, rows: int) -> Arguments:
    """Arguments other than caches for some of the `rows`."""
    found = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, Tensor) and value.ndim > 1:
            axis = 1 if name == "position_ids" and value.ndim == 3 else 0  # [3, row, pos] where images have positions
            if value.shape[axis] == rows:
                found[name] = value.index_select(axis, index.to(value.device))
    return found
