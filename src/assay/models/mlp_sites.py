"""MLP internals and expert routing of one block, found by values.

The down projection is the last linear layer before the branch joins the residual stream; what it reads is `mlp_post`.
The activation is the module that turns another projection's output into it; a gated MLP multiplies by a second one
(`mlp_up`). Where the activation is a function and no module, the known activations are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assay.models.columns import as_step, column_index
from assay.models.ports import Port
from assay.models.residual import Branch
from assay.models.stacks import Block, layout
from assay.models.taps import Direct, ExpertWeights, Tap
from assay.models.trace import Event, Trace
from assay.models.views import Frame, Step, Unflatten, View

ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    F.silu,
    F.gelu,
    lambda x: F.gelu(x, approximate="tanh"),
    F.relu,
    lambda x: F.relu(x).square(),
    lambda x: x * torch.sigmoid(1.702 * x),
    torch.tanh,
)


@dataclass
class MlpSites:
    """Taps by site name, and the reason for each that is absent."""

    taps: dict[str, Tap] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    read_only: set[str] = field(default_factory=set)


def mlp_sites(
    native: nn.Module, block: Block, branch: Branch, window: list[Event], trace: Trace, n_experts: int | None
) -> MlpSites:
    """All sites of the MLP whose output is `branch`; `window` holds the module calls that may belong to it."""
    sites = MlpSites()
    if n_experts:
        _router_sites(sites, window, block.frame, n_experts)
    linear = list(_linears(native, window, block.frame))
    down = _down_projection(linear, branch, block, trace) if "router" not in sites.taps else None
    _input_site(sites, window, linear, down, block, branch)
    if down is None:
        why = "its experts each have their own" if "router" in sites.taps else "no single down projection was found"
        sites.reasons |= dict.fromkeys(("mlp_pre", "mlp_up", "mlp_post"), why)
        return sites
    key, post = next(iter(down.inputs.items()))
    sites.taps["mlp_post"] = Direct(Port(down.path, "in", key, down.call), _token_view(post, block.frame))
    _activation_sites(sites, _flat(post), [e for e in linear if e.end < down.start], window, down, block.frame)
    return sites


def _linears(native: nn.Module, window: list[Event], frame: Frame) -> Iterator[Event]:
    for event in window:
        weight = getattr(native.get_submodule(event.path), "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2 and event.inputs and event.outputs:
            x = next(iter(event.inputs.values()))
            if x.numel() // x.shape[-1] == frame.batch * frame.pos:
                yield event


def _down_projection(linear: list[Event], branch: Branch, block: Block, trace: Trace) -> Event | None:
    width = block.x.shape[-1]
    for event in reversed(linear):
        out = next(iter(event.outputs.values()))
        if out.shape[-1] == width and event.end <= branch.event.end:
            return event
    return None


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


def _token_view(tensor: Tensor, frame: Frame) -> View:
    return layout(tensor, tensor.shape[-1], frame) or View((Unflatten(),))


def _input_site(
    sites: MlpSites, window: list[Event], linear: list[Event], down: Event | None, block: Block, branch: Branch
) -> None:
    """mlp_in: the widest module call that reads what the first projection (or the router) reads."""
    first = linear[0] if down is not None and linear else _router_event(sites, window) or _largest(window)
    if first is None or not first.inputs:
        sites.reasons["mlp_in"] = "the MLP is no module of its own"
        return
    value = next(iter(first.inputs.values()))
    readers = [e for e in window for t in list(e.inputs.values())[:1] if t.numel() == value.numel() and _same(t, value)]
    outer = readers[0] if readers else first
    if down is not None and any(r is not outer and not outer.contains(r) for r in readers):
        sites.reasons["mlp_in"] = "its projections are called side by side, not by one module"
        return
    key, tensor = next(iter(outer.inputs.items()))
    view = layout(tensor, block.x.shape[-1], block.frame)
    if view is None:
        sites.reasons["mlp_in"] = f"the MLP reads shape {tuple(tensor.shape)}"
        return
    sites.taps["mlp_in"] = Direct(Port(outer.path, "in", key, outer.call), view)


def _router_event(sites: MlpSites, window: list[Event]) -> Event | None:
    tap = sites.taps.get("router")
    return next((e for e in window if tap is not None and e.path == tap.port.module), None)


def _largest(window: list[Event]) -> Event | None:
    return max(window, key=lambda e: e.end - e.start, default=None)


def _same(left: Tensor, right: Tensor) -> bool:
    return torch.equal(left.reshape(-1), right.reshape(-1))


def _activation_sites(
    sites: MlpSites, post: Tensor, linear: list[Event], window: list[Event], down: Event, frame: Frame
) -> None:
    for before, after in _activations(post, linear, window, down):
        gated = not torch.allclose(after, post, rtol=1e-4, atol=1e-6)
        pre = _find(before, linear, frame)
        up = _find_factor(after, post, linear, frame) if gated else None
        if pre is not None and (up is not None or not gated):
            sites.taps["mlp_pre"] = pre
            if up is not None:
                sites.taps["mlp_up"] = up
            else:
                sites.reasons["mlp_up"] = "this MLP is not gated"
            return
    sites.reasons |= dict.fromkeys(("mlp_pre", "mlp_up"), "no activation explains what the down projection reads")


def _activations(
    post: Tensor, linear: list[Event], window: list[Event], down: Event
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs (input, output) of what may be the activation: modules first, then known functions of each projection."""
    for event in window:
        if event.end < down.start and event not in linear and event.inputs and event.outputs:
            x, y = next(iter(event.inputs.values())), next(iter(event.outputs.values()))
            if x.shape == y.shape and x.shape[-1] == post.shape[-1] and x.numel() == post.numel() and not _same(x, y):
                yield _flat(x), _flat(y)
    for _, part in _parts(linear, post.shape[-1]):
        for function in ACTIVATIONS:
            yield part, function(part)


def _parts(linear: list[Event], width: int) -> Iterator[tuple[tuple[Event, tuple[int, ...]], Tensor]]:
    """Each projection's output, whole, in halves, or every second column, when that gives `width` columns."""
    for event in linear:
        out = _flat(next(iter(event.outputs.values())))
        n = out.shape[-1]
        choices = [range(n)] if n == width else []
        if n == 2 * width:
            choices = [range(width), range(width, n), range(0, n, 2), range(1, n, 2)]
        for columns in choices:
            yield (event, tuple(columns)), out[:, list(columns)]


def _find(target: Tensor, linear: list[Event], frame: Frame) -> Direct | None:
    for event in linear:
        out = next(iter(event.outputs.values()))
        if (index := column_index(target, _flat(out))) is not None:
            return _tap(event, index, frame)
    for (event, columns), part in _parts(linear, target.shape[-1]):
        limited = (target - part).abs() > 1e-6 * part.abs()
        if 0 < float(limited.double().mean()) < 0.5:  # a clamp between projection and activation (gpt-oss)
            return _tap(event, columns, frame)
    return None


def _find_factor(after: Tensor, post: Tensor, linear: list[Event], frame: Frame) -> Direct | None:
    for (event, columns), part in _parts(linear, post.shape[-1]):
        if torch.allclose(after * part, post, rtol=1e-3 if post.dtype == torch.float32 else 3e-2, atol=1e-6):
            return _tap(event, columns, frame)
    return None


def _tap(event: Event, index: tuple[int, ...], frame: Frame) -> Direct:
    key, out = next(iter(event.outputs.items()))
    step = as_step(index, out.shape[-1])
    steps: tuple[Step, ...] = _token_view(out, frame).steps
    return Direct(Port(event.path, "out", key, event.call), View((*steps, *((step,) if step else ()))))


def _router_sites(sites: MlpSites, window: list[Event], frame: Frame, n_experts: int) -> None:
    tokens = frame.batch * frame.pos
    for event in window:
        for key, out in event.outputs.items():
            if out.shape[-1] == n_experts and out.numel() == tokens * n_experts and "router" not in sites.taps:
                sites.taps["router"] = Direct(Port(event.path, "out", key, event.call), _token_view(out, frame))
                if len(event.outputs) > 1:  # it returns what it made of its logits beside them
                    sites.read_only.add("router")
        for chosen_key, chosen in event.chosen.items():
            for key, weights in event.outputs.items():
                if (
                    weights.shape == chosen.shape
                    and weights.shape[-1] < n_experts
                    and "expert_weights" not in sites.taps
                ):
                    port, chosen_port = (Port(event.path, "out", k, event.call) for k in (key, chosen_key))
                    sites.read_only.add("router")  # the router has chosen by itself when it returns its logits
                    sites.taps["expert_weights"] = ExpertWeights(port, chosen_port, n_experts)
    if "router" not in sites.taps:
        sites.reasons["router"] = "no module returns one number for each expert"
    if "expert_weights" not in sites.taps:
        sites.reasons["expert_weights"] = "no module returns the chosen experts with their weights"
