"""Patching sweeps with nnsight: a trace for each cell, or the cells as batched invokes of one trace.

Invokes are rows of one batch, each with interventions of its own: this is how its documentation runs many interventions at
once. They need `TransformersModel`, which knows how to put inputs together; at most `ROWS_AT_ONCE` rows make a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from side_by_side.by_hooks import MODULES, chunks, columns, split, twin
from side_by_side.sweep_rows import Cell, Part
from torch import Tensor, nn


class NNsightLoop:
    def __init__(self, native: nn.Module) -> None:
        from nnsight import NNsight

        self.wrapped: Any = NNsight(twin(native))
        self.config = native

    def at(self, site: str, layer: int) -> Any:
        """The tensor at a site, inside a trace."""
        path, side = MODULES[site]
        found = self.wrapped.model.layers[layer]
        for name in path.split(".") if path else ():
            found = getattr(found, name)
        return getattr(found, side)

    def captured(self, ids: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        ordered = sorted((split(n) for n in names), key=lambda pair: (pair[1], list(ORDER).index(pair[0])))
        with self.wrapped.trace(ids, use_cache=False):
            kept = dict().save()  # noqa: C408 (a literal has no save)
            for site, layer in ordered:
                kept[f"L{layer}.{site}"] = self.at(site, layer).clone()
        return kept

    def prepare(self, part: Part) -> Mapping[str, Tensor]:
        names = [f"L{layer}.{site}" for site in part.sites for layer in part.layers]
        if not part.sender:
            return self.captured(part.corrupt, names)
        layer, head = part.sender
        depth = len(self.config.model.layers)
        held = self.captured(part.clean, part.between(depth))
        other = self.captured(part.corrupt, [f"L{layer}.z"])[f"L{layer}.z"]
        own = columns(self.config, head)
        with self.wrapped.trace(part.clean, use_cache=False):
            kept = dict().save()  # noqa: C408
            self.at("z", layer)[..., own] = other[..., own]
            self.at("mlp_out", layer)[:] = held[f"L{layer}.mlp_out"]
            for i in range(layer + 1, depth):
                for site in part.sites:
                    kept[f"L{i}.{site}"] = self.at(site, i).clone()
                for site in ("attn_out", "mlp_out"):
                    self.at(site, i)[:] = held[f"L{i}.{site}"]
        return kept

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([part.score(self.patched(part.clean, cell, values)) for cell in part.cells])

    def patched(self, ids: Tensor, cell: Cell, values: Mapping[str, Tensor]) -> Tensor:
        site, layer, pos, head = cell
        index = (slice(None), slice(None) if pos is None else pos, columns(self.config, head))
        new = values[f"L{layer}.{site}"][index]
        with self.wrapped.trace(ids, use_cache=False):
            self.at(site, layer)[index] = new
            logits = self.wrapped.output.logits[:, -1].save()
        return logits  # noqa: RET504 (nnsight runs the trace's body elsewhere)


class NNsightInvokes(NNsightLoop):
    """All cells, of one layer or of several, as invokes of one trace."""

    def __init__(self, native: nn.Module, tokenizer: Any) -> None:
        from nnsight.modeling.transformers import TransformersModel

        self.wrapped = TransformersModel(twin(native), tokenizer=tokenizer, task="text-generation")
        self.config = native

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        found = [
            row for chunk in chunks(part.cells, len(part.clean)) for row in self.invoked(part.clean, chunk, values)
        ]
        return torch.stack([part.score(logits) for logits in found])

    def invoked(self, ids: Tensor, chunk: list[Cell], values: Mapping[str, Tensor]) -> list[Tensor]:
        """Logits at the last position for each cell."""
        with self.wrapped.trace(use_cache=False) as tracer:
            found = list().save()  # noqa: C408 (a literal has no save)
            for site, layer, pos, head in chunk:
                index = (slice(None), slice(None) if pos is None else pos, columns(self.config, head))
                new = values[f"L{layer}.{site}"][index]
                with tracer.invoke(ids):
                    self.at(site, layer)[index] = new
                    found.append(self.wrapped.output.logits[:, -1])
        return list(found)


ORDER = ("resid_pre", "q", "k", "v", "z", "attn_out", "mlp_out")
"""The order in which a block computes them, which is the order in which a trace may ask."""
