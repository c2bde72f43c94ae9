"""What lies before the first block and after the last: embeddings, final norm, logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.models.codebooks import codebooks, of_examples
from assay.models.norms import norm_tap
from assay.models.ports import Key, Port, floating_outputs
from assay.models.stacks import Stack, layout
from assay.models.taps import Direct, Tap
from assay.models.trace import Event, Trace
from assay.models.views import WHOLE, Expand, View


def embedding_sites(native: nn.Module, stack: Stack, trace: Trace) -> tuple[dict[str, Tap], dict[str, str]]:
    """`embed` and `pos_embed` of one stack."""
    first, tables = stack.blocks[0], codebooks(native)
    taps: dict[str, Tap] = {}
    earlier = [e for e in trace.events if e.end < first.event.start and _is_embedding(native, e)]
    for event in reversed(earlier):
        key, out = next(iter(event.outputs.items()))
        view = layout(out, first.x.shape[-1], first.frame)
        port = Port(event.path, "out", key, event.call)
        if view is not None and not _shared(view.read(out, first.frame)):
            if tables == 1:
                taps.setdefault("embed", Direct(port, view))
        elif _positional(out, first.x):
            taps.setdefault("pos_embed", Direct(port, view or View((Expand(),))))
    reasons = {} if "embed" in taps else {"embed": "no embedding module of the residual stream's width was called"}
    if tables > 1:
        reasons["embed"] = f"it is a sum of what {tables} tables give, one for each codebook: L0.resid_pre holds it"
    if "pos_embed" not in taps:
        reasons["pos_embed"] = "this model has no learned position embedding of its own module"
    return taps, reasons


def final_sites(native: nn.Module, stack: Stack, trace: Trace) -> tuple[dict[str, Tap], dict[str, str]]:
    """`final_norm` and its scale: the norm that reads the last block's output."""
    last = stack.blocks[-1]
    taps: dict[str, Tap] = {}
    for event in (e for e in trace.events if e.start > last.event.end):
        for tensor in event.inputs.values():
            view = layout(tensor, last.y.shape[-1], last.frame)
            if view is None or not torch.equal(view.read(tensor, last.frame), last.y):
                continue
            norm = norm_tap(native, event, last.frame)
            if norm is not None:
                taps |= {"final_norm": Direct(norm.port, norm.view), "final_norm_scale": norm}
                return taps, {}
    return taps, dict.fromkeys(("final_norm", "final_norm_scale"), "no norm reads the last block's output")


def logits_site(native: nn.Module, trace: Trace) -> tuple[dict[str, Tap], dict[str, str]]:
    """`logits`: what the model returns under that name, or a first tensor with one number for each token that the
    embedding knows."""
    outputs = floating_outputs(trace.output)
    if "logits" in outputs:
        return {"logits": Direct(Port("", "out", "logits"), of_examples(native))}, {}
    key, first = next(iter(outputs.items()), (None, None))
    words = {int(native.get_submodule(e.path).weight.shape[0]) for e in trace.events if _is_embedding(native, e)}  # type: ignore[index]
    if first is not None and first.ndim == 3 and first.shape[-1] in words and not isinstance(key, str):
        return {"logits": Direct(Port("", "out", key), WHOLE)}, {}
    return {}, {"logits": "this model has no output head"}


def output_key(output: Any) -> Key:
    """Where the model's main output stands: its logits, else its last hidden state, else the first tensor."""
    outputs = floating_outputs(output)
    return next((key for key in ("logits", "last_hidden_state", None) if key in outputs), next(iter(outputs), None))


def _is_embedding(native: nn.Module, event: Event) -> bool:
    weight = getattr(native.get_submodule(event.path), "weight", None)
    return not event.inputs and isinstance(weight, Tensor) and weight.ndim == 2 and bool(event.outputs)


def _shared(value: Tensor) -> bool:
    """The same for every example: a function of position (or of nothing), not of the tokens."""
    return bool((value == value[:1]).all())


def _positional(out: Tensor, x: Tensor) -> bool:
    """A vector of its own for most positions: padding shares one, and segments have one for many."""
    positions = out[0] if out.ndim == 3 else out
    shape_fits = positions.ndim == 2 and positions.shape == x.shape[1:]
    return bool(shape_fits) and 2 * len(torch.unique(positions, dim=0)) > len(positions)
