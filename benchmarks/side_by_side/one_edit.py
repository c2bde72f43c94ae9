"""One edit on one prompt in each library: the MLP output of layer 15 set to zero at the last position, logits everywhere.

There is nothing to save here, so what is measured is what a library adds to a plain pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from side_by_side.by_hooks import HookLoop, hooked
from side_by_side.by_nnsight import NNsightLoop
from side_by_side.by_pyvene import PyveneBatches
from side_by_side.by_transformer_lens import TransformerLens, theirs
from torch import Tensor

LAYER = 15
Edited = Callable[[], Tensor]


def by_assay(model: Any, ids: Tensor) -> Edited:
    from assay import edit

    zero = edit.zero(f"L{LAYER}.mlp_out", pos=-1)
    return lambda: model.run(ids, edits=zero).logits


def by_hand(tool: HookLoop, ids: Tensor) -> Edited:
    def zero(value: Tensor) -> Tensor:
        value = value.clone()
        value[:, -1] = 0
        return value

    def run() -> Tensor:
        with hooked(tool.native, [("mlp_out", LAYER, zero)]):
            logits: Tensor = tool.native(input_ids=ids, use_cache=False).logits
            return logits

    return run


def by_lens(tool: TransformerLens, ids: Tensor) -> Edited:
    def zero(value: Tensor, hook: Any) -> Tensor:
        value[:, -1] = 0
        return value

    edits = [(theirs(f"L{LAYER}.mlp_out"), zero)]
    return lambda: tool.bridge.run_with_hooks(ids, fwd_hooks=edits)


def by_trace(tool: NNsightLoop, ids: Tensor) -> Edited:
    def run() -> Tensor:
        with tool.wrapped.trace(ids, use_cache=False):
            tool.wrapped.model.layers[LAYER].mlp.output[:, -1] = 0
            logits = tool.wrapped.output.logits.save()
        return logits  # noqa: RET504 (nnsight runs the trace's body elsewhere)

    return run


def by_intervention(tool: PyveneBatches, ids: Tensor) -> Edited:
    import pyvene

    zero = {"layer": LAYER, "component": "mlp_output", "intervention_type": pyvene.ZeroIntervention}
    editing = pyvene.IntervenableModel(zero, model=tool.native)

    def run() -> Tensor:
        _, out = editing({"input_ids": ids, "use_cache": False}, unit_locations={"base": ids.shape[1] - 1})
        logits: Tensor = out.logits
        return logits

    return run


def naive(native: Any, ids: Tensor) -> Tensor:
    """The same by a hook of its own, for the check."""
    handle = native.model.layers[LAYER].mlp.register_forward_hook(
        lambda module, args, out: torch.cat([out[:, :-1], torch.zeros_like(out[:, -1:])], dim=1)
    )
    try:
        logits: Tensor = native(input_ids=ids, use_cache=False).logits
        return logits
    finally:
        handle.remove()
