"""Recognising a norm by what it does: its output is its input over a scale, times a weight, plus a bias.

RMSNorm and LayerNorm are told apart by which scale makes that true on the traced tokens. `norms_of` finds every norm of a
model, those inside attention included; there a module is also called on other inputs, since one that only hands on what a
norm gave it would look like a norm too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.models.offloaded import weight_of
from assay.models.ports import Key, Port, floating_outputs, put_input
from assay.models.stacks import layout
from assay.models.taps import NormScale, norm_scale
from assay.models.trace import Event, Trace, trace
from assay.models.views import Frame

CANNOT_RUN = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError)
"""What models raise when their inputs do not suit them."""

_EPSILON_NAMES = ("eps", "variance_epsilon", "epsilon", "norm_eps", "layer_norm_eps")


def norm_tap(native: nn.Module, event: Event, frame: Frame) -> NormScale | None:
    """The scale of the norm that `event` calls, or None when it is no such norm."""
    module = native.get_submodule(event.path)
    for key, x in event.inputs.items():
        for out_key, out in event.outputs.items():
            view = layout(x, x.shape[-1], frame)
            if view is None or out.shape != x.shape:
                continue
            kind = _kind(module, view.read(x, frame), view.read(out, frame))
            if kind is not None:
                source, port = Port(event.path, "in", key, event.call), Port(event.path, "out", out_key, event.call)
                return NormScale(source, port, *kind, source_view=view, view=view)
    return None


def norms_of(native: nn.Module, choices: Sequence[Mapping[str, Any]]) -> tuple[NormScale, ...]:
    """The scale of every norm that is a module, one for each call, on the first inputs with which the model runs.

    Cost: a traced pass, and one more call of each norm.
    """
    for inputs in choices:
        try:
            return _all_norms(native, trace(native, inputs))
        except CANNOT_RUN:
            continue
    return ()


def _all_norms(native: nn.Module, traced: Trace) -> tuple[NormScale, ...]:
    found: list[tuple[Event, NormScale]] = []
    for event in traced.events:
        tap = _norm_of_any_shape(native.get_submodule(event.path), event)
        if tap is not None:
            found.append((event, tap))
    # a module around a norm and nothing else is not another norm
    return tuple(tap for event, tap in found if not any(event.contains(other) for other, _ in found))


def _norm_of_any_shape(module: nn.Module, event: Event) -> NormScale | None:
    for key, x in event.inputs.items():
        for out_key, out in event.outputs.items():
            if out.shape != x.shape or x.ndim < 2 or torch.equal(x, out):
                continue
            kind = _kind(module, _flat(x), _flat(out))
            if kind is not None and _scales_away(module, event, key, out_key, kind):
                source, port = Port(event.path, "in", key, event.call), Port(event.path, "out", out_key, event.call)
                return NormScale(source, port, *kind)
    return None


def _scales_away(module: nn.Module, event: Event, key: Key, out_key: Key, kind: tuple[bool, float]) -> bool:
    """Whether inputs of other sizes, a factor for each, still give a norm's output."""
    factors = torch.linspace(0.5, 3.0, event.inputs[key].shape[0], dtype=event.inputs[key].dtype)
    x = event.inputs[key] * factors.to(event.inputs[key]).reshape(-1, *[1] * (event.inputs[key].ndim - 1))
    args, kwargs = put_input(*event.arguments, key, x)
    with torch.no_grad():
        out = floating_outputs(module(*args, **kwargs))
    return out_key in out and _kind(module, _flat(x), _flat(out[out_key])) == kind


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(1, -1, tensor.shape[-1])


def _kind(module: nn.Module, x: Tensor, out: Tensor) -> tuple[bool, float] | None:
    bias = weight_of(module, "bias")
    shifted = out.double() - (bias.detach().double() if bias is not None else 0.0)
    named = [float(v) for n in _EPSILON_NAMES if isinstance(v := getattr(module, n, None), (int, float))]
    for eps in [*named, 1e-5, 1e-6, 1e-12]:
        for centred in (False, True):
            wide = x.double()
            numerator = wide - wide.mean(-1, keepdim=True) if centred else wide
            unit = numerator / norm_scale(wide, centred, eps)
            weight = (shifted * unit).sum((0, 1)) / unit.square().sum((0, 1)).clamp_min(1e-30)
            tolerance = 1e-4 if x.dtype in (torch.float32, torch.float64) else 3e-2
            if torch.allclose(unit * weight, shifted, rtol=tolerance, atol=tolerance * float(shifted.abs().max())):
                return centred, eps
    return None
