"""Patching sweeps with nothing but hooks on the native model: one pass for each cell, or a layer's cells as rows of a batch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from side_by_side.sweep_rows import Cell, Part
from torch import Tensor, nn

MODULES = {
    "resid_pre": ("", "input"), "z": ("self_attn.o_proj", "input"), "attn_out": ("self_attn.o_proj", "output"),
    "mlp_out": ("mlp", "output"), "q": ("self_attn.q_proj", "output"), "k": ("self_attn.k_proj", "output"),
    "v": ("self_attn.v_proj", "output"),
}  # fmt: skip
"""Where each site is in a Llama block: a module, and its input or output, with heads side by side."""

ROWS_AT_ONCE = 64


def twin(native: nn.Module) -> Any:
    """Modules of one's own with the same weights, so that hooks and wrappers stay apart and memory is not taken twice."""
    return copy.deepcopy(native, {id(p): p for p in native.parameters()})


def place(native: Any, site: str, layer: int) -> tuple[nn.Module, str]:
    path, side = MODULES[site]
    return native.model.layers[layer].get_submodule(path), side


def split(name: str) -> tuple[str, int]:
    """`L3.z` as ("z", 3)."""
    layer, site = name[1:].split(".")
    return site, int(layer)


def columns(native: Any, head: int | None) -> slice:
    width = native.config.head_dim
    return slice(None) if head is None else slice(head * width, (head + 1) * width)


@contextmanager
def hooked(native: Any, functions: Iterable[tuple[str, int, Callable[[Tensor], Tensor | None]]]) -> Iterator[None]:
    """Functions at (site, layer): what they return takes the tensor's place."""
    handles = []
    for site, layer, function in functions:
        module, side = place(native, site, layer)
        if side == "input":

            def before(module: Any, args: Any, f: Any = function) -> Any:
                found = f(args[0])
                return None if found is None else (found, *args[1:])

            handles.append(module.register_forward_pre_hook(before))
        else:
            handles.append(module.register_forward_hook(lambda module, args, out, f=function: f(out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class HookLoop:
    """One pass for each cell. Only the last position's logits are computed."""

    def __init__(self, native: nn.Module) -> None:
        self.native: Any = twin(native)

    def run(self, ids: Tensor) -> Tensor:
        return self.native(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]

    def captured(self, ids: Tensor, names: Iterable[str], functions: Iterable[Any] = ()) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        keep = [(*split(n), lambda value, n=n: kept.update({n: value.clone()})) for n in names]
        with hooked(self.native, [*functions, *keep]):
            self.run(ids)
        return kept

    def prepare(self, part: Part) -> Mapping[str, Tensor]:
        """The values that are patched in, [examples, positions, width] for each site of each layer."""
        names = [f"L{layer}.{site}" for site in part.sites for layer in part.layers]
        if not part.sender:
            return self.captured(part.corrupt, names)
        layer, head = part.sender
        held = self.captured(part.clean, part.between(len(self.native.model.layers)))
        other = self.captured(part.corrupt, [f"L{layer}.z"])[f"L{layer}.z"]
        own = columns(self.native, head)

        def send(value: Tensor) -> Tensor:
            value = value.clone()
            value[..., own] = other[..., own]
            return value

        freeze = [(*split(name), lambda _, v=value: v) for name, value in held.items()]
        return self.captured(part.clean, names, [("z", layer, send), *freeze])

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        """The metric [cells, examples]."""
        return torch.stack([part.score(self.patched(part.clean, cell, values)) for cell in part.cells])

    def patched(self, ids: Tensor, cell: Cell, values: Mapping[str, Tensor]) -> Tensor:
        site, layer, pos, head = cell
        index = (slice(None), slice(None) if pos is None else pos, columns(self.native, head))
        new = values[f"L{layer}.{site}"]

        def patch(value: Tensor) -> Tensor:
            value = value.clone()
            value[index] = new[index]
            return value

        with hooked(self.native, [(site, layer, patch)]):
            return self.run(ids)


class HookBatches(HookLoop):
    """All cells of a layer as rows of a batch, at most `ROWS_AT_ONCE` at a time."""

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        found: list[Tensor] = []
        examples = len(part.clean)
        for (site, layer), group in itertools.groupby(part.cells, key=lambda cell: cell[:2]):
            for chunk in chunks(list(group), examples):
                new = values[f"L{layer}.{site}"]

                def patch(value: Tensor, chunk: list[Cell] = chunk, new: Tensor = new) -> Tensor:
                    value = value.clone().unflatten(0, (len(chunk), examples))
                    for row, (_, _, pos, head) in enumerate(chunk):
                        index = (slice(None), slice(None) if pos is None else pos, columns(self.native, head))
                        value[row][index] = new[index]
                    return value.flatten(0, 1)

                with hooked(self.native, [(site, layer, patch)]):
                    logits = self.run(part.clean.repeat(len(chunk), 1))
                found.append(part.score(logits).unflatten(0, (len(chunk), examples)))
        return torch.cat(found)


def chunks(cells: list[Cell], examples: int) -> Iterator[list[Cell]]:
    size = max(1, ROWS_AT_ONCE // examples)
    for start in range(0, len(cells), size):
        yield cells[start : start + size]
