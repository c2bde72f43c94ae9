"""Recognising a norm by what it does: its output is its input over a scale, times a weight, plus a bias.

RMSNorm and LayerNorm are told apart by which scale makes that true on the traced tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from assay.models.offloaded import weight_of
from assay.models.ports import Port
from assay.models.stacks import layout
from assay.models.taps import NormScale, norm_scale
from assay.models.trace import Event
from assay.models.views import Frame

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
