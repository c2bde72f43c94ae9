"""The tools that take part, and how each does its part of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from side_by_side import attribution, one_edit, steering
from side_by_side.by_hooks import HookBatches, HookLoop
from side_by_side.by_nnsight import NNsightInvokes, NNsightLoop
from side_by_side.by_pyvene import PyveneBatches
from side_by_side.by_transformer_lens import TransformerLens
from side_by_side.sweep_rows import Row

NAIVE, ASSAY = "naive", "assay"


@dataclass(frozen=True)
class Tool:
    """A library in one way of using it: what must be installed, and what it can do."""

    module: str
    build: Callable[[Any, Any], Any]
    """Takes the native model and the tokenizer; gives what has `prepare` and `cells`."""
    batches: bool = False
    """Whether it makes one batch of a layer's cells."""
    attribution: Callable[..., Any] | None = None
    steering: Callable[..., Any] | None = None
    edit: Callable[..., Any] | None = None

    def can(self, built: Any, row: Row) -> bool:
        """Whether it has a way to express all of a row's patches."""
        return not hasattr(built, "can") or all(built.can(part) for part in row.parts)


TOOLS: Mapping[str, Tool] = {
    "loop by hand": Tool(
        "torch", lambda native, tokenizer: HookLoop(native),
        attribution=attribution.by_hand, steering=steering.one_by_one, edit=one_edit.by_hand,
    ),
    "batches by hand": Tool(
        "torch", lambda native, tokenizer: HookBatches(native), batches=True, steering=steering.by_prompt,
    ),
    "TransformerLens": Tool(
        "transformer_lens", lambda native, tokenizer: TransformerLens(native),
        attribution=attribution.by_lens, steering=steering.by_lens, edit=one_edit.by_lens,
    ),
    "nnsight": Tool(
        "nnsight", lambda native, tokenizer: NNsightLoop(native),
        attribution=attribution.by_traces, steering=steering.by_traces, edit=one_edit.by_trace,
    ),
    "nnsight, invokes": Tool("nnsight", NNsightInvokes, batches=True, steering=steering.by_invokes),
    "pyvene": Tool(
        "pyvene", lambda native, tokenizer: PyveneBatches(native), batches=True, edit=one_edit.by_intervention,
    ),
}  # fmt: skip
"""All but assay itself and its naive engine, which need no such table."""

PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight", "pyvene")
