"""All sites of one block: what its branches are, and the taps inside them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from assay.models.attention_sites import attention_sites
from assay.models.mlp_sites import mlp_sites
from assay.models.norms import norm_tap
from assay.models.ports import Port
from assay.models.residual import Branch, Explanation
from assay.models.stacks import Block, layout
from assay.models.taps import Direct, Sum, Tap
from assay.models.trace import Event, Operation, Trace, memory_of
from assay.models.views import Frame

_OUTPUT_NAMES = {"attention": "attn_out", "cross": "cross_attn_out", "recurrent": "ssm_out", "mlp": "mlp_out"}
_CROSS_NAMES = {n: f"cross_{n}" for n in ("q", "k", "v", "scores", "pattern", "z", "head_out")}


@dataclass
class BlockSites:
    """Taps by site name, reasons for absence, and the kind: sequential, parallel, post-norm, single, unknown."""

    kind: str
    taps: dict[str, Tap] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    sinks: int = 0
    read_only: set[str] = field(default_factory=set)

    def add(self, name: str, tap: Tap | None, reason: str) -> None:
        """Record a tap, or why there is none."""
        if tap is not None:
            self.taps[name] = tap
        else:
            self.reasons.setdefault(name, reason)


@dataclass(frozen=True)
class Role:
    """A branch and what it does: attention, cross (attention to an encoder), recurrent, mlp."""

    name: str
    branch: Branch
    softmax: Operation | None = None


def block_sites(
    native: nn.Module, block: Block, found: Explanation | None, trace: Trace, n_experts: int | None
) -> BlockSites:
    """Everything that can be established about one block."""
    sites = BlockSites("unknown")
    sites.taps |= {"resid_pre": Direct(block.enters, block.view), "resid_post": Direct(block.leaves, block.view)}
    softmaxes = _softmaxes(block, trace)
    if found is None:
        why = "no outputs of this block's modules add up to the change of the residual stream"
        sites.reasons |= dict.fromkeys(("attn_out", "mlp_out", "ssm_out", "resid_mid"), why)
    roles = _roles(native, block, found, softmaxes, trace) if found else []
    for i, softmax in enumerate(softmaxes[:2]):
        cross = i == 1 and (not roles or any(r.name == "cross" for r in roles))
        if i == 0 or cross:
            _add_attention(native, sites, block, softmax, trace, cross=cross)
    if found:
        _stream_sites(sites, block, found, roles)
        _mlp(native, sites, block, roles, trace, n_experts)
        _recurrent(sites, block, roles, trace)
    _norm_scales(native, sites, block, trace)
    return sites


def _softmaxes(block: Block, trace: Trace) -> list[Operation]:
    """Where attention is computed in this block: softmaxes over positions, or calls of a fused kernel."""
    inside = [o for o in trace.operations if block.event.contains(o)]
    return [o for o in inside if o.kind == "fused" or (o.kind == "softmax" and _is_attention(o, block.frame, inside))]


def _is_attention(operation: Operation, frame: Frame, around: list[Operation]) -> bool:
    pattern, (batch, pos) = operation.tensors[1], (frame.batch, frame.pos)
    if pattern.shape[-1] < pos - 1:
        return False
    if pattern.ndim == 4:
        return bool(pattern.shape[0] == batch and pattern.shape[2] == pos)
    if pattern.ndim != 3 or pattern.shape[0] % batch or pattern.shape[1] != pos:
        return False
    one_head = pattern.shape[0] == batch  # looks like numbers for each token: it must also mix values
    mixes = [o for o in around if o.kind == "product" and o.path == operation.path and o.start > operation.start]
    return not one_head or any(torch.equal(o.tensors[0], pattern) for o in mixes)


def _roles(native: nn.Module, block: Block, found: Explanation, softmaxes: list[Operation], trace: Trace) -> list[Role]:
    roles: list[Role] = []
    left = list(softmaxes)
    for branch in sorted(found.branches, key=lambda b: b.event.end):
        mine = [o for o in left if o.start < branch.event.end]
        left = [o for o in left if o not in mine]
        if mine:
            seen = any(r.name == "attention" for r in roles)
            roles.append(Role("cross" if seen else "attention", branch, mine[0]))
        else:
            start = max((r.branch.event.end for r in roles), default=block.event.start)
            roles.append(Role("recurrent" if _mixes_positions(native, block, branch, start, trace) else "mlp", branch))
    return roles


def _mixes_positions(native: nn.Module, block: Block, branch: Branch, start: int, trace: Trace) -> bool:
    """Whether a branch without softmax mixes positions: its widest call is run with one token changed."""
    window = [e for e in trace.inside(block.event) if start < e.start and e.end <= branch.event.end]
    whole = max(window, key=lambda e: e.end - e.start, default=None)
    if whole is None or not whole.inputs:
        return False
    key, x = next(iter(whole.inputs.items()))
    view = layout(x, x.shape[-1], block.frame)
    if view is None:
        return False
    args, kwargs = whole.arguments
    changed = view.read(x, block.frame).clone()
    changed[:, 0] += 1.0
    changed = view.write(x, changed, block.frame)
    args = tuple(changed if i == key else a for i, a in enumerate(args))
    kwargs = {n: changed if n == key else a for n, a in kwargs.items()}
    try:
        with torch.no_grad():
            out = native.get_submodule(whole.path)(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError):
        return False
    out = out if isinstance(out, Tensor) else next((t for t in out if isinstance(t, Tensor)), None)
    before = next(iter(whole.outputs.values()))
    if out is None or out.shape != before.shape or (out_view := layout(out, out.shape[-1], block.frame)) is None:
        return False
    after, base = (out_view.read(t, block.frame)[:, 1:] for t in (out, before))
    return not torch.allclose(after, base, rtol=1e-4, atol=1e-5)


def _stream_sites(sites: BlockSites, block: Block, found: Explanation, roles: list[Role]) -> None:
    mlps = [r for r in roles if r.name == "mlp"]
    for role in roles:
        sites.taps.setdefault(_OUTPUT_NAMES[role.name], Direct(role.branch.port, role.branch.view))
    if len(mlps) == 2:
        base = ((mlps[0].branch.port, mlps[0].branch.view),)
        sites.taps["mlp_out"] = Sum(base, mlps[1].branch.port, mlps[1].branch.view)
    for name, what in (("attn_out", "attention"), ("mlp_out", "mlp"), ("ssm_out", "recurrent")):
        if name not in sites.taps:
            sites.reasons[name] = f"this block has no {what} branch"
    sites.kind = _kind(block, found, roles)
    if sites.kind == "post-norm":
        sites.taps["resid_mid"] = Direct(found.norms[0].source, found.norms[0].view)
    elif sites.kind == "sequential":
        entry, mixed = (block.enters, block.view), [(r.branch.port, r.branch.view) for r in _mixers(roles)]
        sites.taps["resid_mid"] = Sum((entry, *mixed[:-1]), *mixed[-1])
        cross = next((r.branch for r in roles if r.name == "cross"), None)
        if cross is not None:
            sites.taps["resid_mid_cross"] = Sum((entry, *mixed), cross.port, cross.view)
    else:
        sites.reasons["resid_mid"] = f"a {sites.kind} block has no residual stream between attention and MLP"


def _mixers(roles: list[Role]) -> list[Role]:
    """The branches that come before the middle of the block: attention, a recurrent mixer, or both side by side."""
    found = []
    for role in roles:
        if role.name not in ("attention", "recurrent"):
            break
        found.append(role)
    return found or roles[:1]


def _kind(block: Block, found: Explanation, roles: list[Role]) -> str:
    """Sequential when some module reads the stream with attention's output already in it; else parallel."""
    if found.kind == "post-norm":
        return "post-norm"
    mixers = _mixers(roles)
    if len(roles) == len(mixers):
        return "single"
    x = block.x.double()
    middle = x + sum(r.branch.value.double() for r in mixers)
    for event in (e for e in block.inner if e.start > mixers[0].branch.event.start):
        for tensor in event.inputs.values():
            view = layout(tensor, x.shape[-1], block.frame)
            if view is not None and _nearer(view.read(tensor, block.frame).double(), middle, x):
                return "sequential"
    return "parallel"


def _nearer(tensor: Tensor, middle: Tensor, x: Tensor) -> bool:
    return float((tensor - middle).abs().max()) < 0.05 * float((tensor - x).abs().max())


def _add_attention(
    native: nn.Module, sites: BlockSites, block: Block, softmax: Operation, trace: Trace, *, cross: bool
) -> None:
    found = attention_sites(native, block, softmax, trace)
    sites.sinks = max(sites.sinks, found.sinks)
    names = _CROSS_NAMES if cross else {}
    sites.taps |= {names.get(n, n): tap for n, tap in found.taps.items() if not cross or n in names}
    sites.reasons |= {names.get(n, n): why for n, why in found.reasons.items() if not cross or n in names}
    entry = _attention_input(block, softmax, found.taps.get("q"), trace)
    sites.add("cross_attn_in" if cross else "attn_in", entry, "attention reads its input in more than one place")


def _attention_input(block: Block, softmax: Operation, q: Tap | None, trace: Trace) -> Direct | None:
    """The widest module call around the softmax that reads what the query projection reads."""
    wanted = None
    if q is not None:
        projection = next(e for e in trace.events if e.path == q.port.module and e.call == q.port.call)
        wanted = next(iter(projection.inputs.values())).reshape(-1)
    around = [e for e in block.inner if e.contains(softmax)]
    for event in around if wanted is not None else reversed(around):
        for key, tensor in event.inputs.items():
            view = layout(tensor, block.x.shape[-1], block.frame)
            if view is not None and (wanted is None or torch.equal(tensor.reshape(-1), wanted)):
                return Direct(Port(event.path, "in", key, event.call), view)
    return None


def _mlp(
    native: nn.Module, sites: BlockSites, block: Block, roles: list[Role], trace: Trace, n_experts: int | None
) -> None:
    role = next((r for r in reversed(roles) if r.name == "mlp"), None)
    if role is None:
        sites.reasons |= dict.fromkeys(("mlp_in", "mlp_pre", "mlp_up", "mlp_post"), "this block has no MLP branch")
        return
    window = _mlp_window(sites, block, roles, role)
    found = mlp_sites(native, block, role.branch, window, trace, n_experts)
    sites.taps |= found.taps
    sites.reasons |= found.reasons
    sites.read_only |= found.read_only


def _mlp_window(sites: BlockSites, block: Block, roles: list[Role], role: Role) -> list[Event]:
    """Module calls that may belong to the MLP: not attention's, and in a sequential block after attention's branch."""
    busy = {sites.taps[n].port.module for n in ("q", "k", "v", "z", "scores") if n in sites.taps}
    other = [r.branch.event.end for r in roles if r.name != "mlp" and r.branch.event.end < role.branch.event.end]
    start = max(other, default=block.event.start) if sites.kind != "parallel" else block.event.start
    window = [e for e in block.inner if e.start > start and e.end <= role.branch.event.end and e.path not in busy]
    softmaxes = [r.softmax for r in roles if r.softmax is not None]
    return [e for e in window if not any(e.contains(s) for s in softmaxes)]


def _recurrent(sites: BlockSites, block: Block, roles: list[Role], trace: Trace) -> None:
    role = next((r for r in roles if r.name == "recurrent"), None)
    if role is None:
        return
    start = max((r.branch.event.end for r in roles if r.branch.event.end < role.branch.event.end), default=0)
    window = [e for e in block.inner if e.start > start and e.end <= role.branch.event.end]
    whole = max(window, key=lambda e: e.end - e.start)
    key, tensor = next(iter(whole.inputs.items()), (None, None))
    view = None if tensor is None else layout(tensor, block.x.shape[-1], block.frame)
    tap = Direct(Port(whole.path, "in", key, whole.call), view) if view is not None else None
    sites.add("ssm_in", tap, "the recurrent mixer's input is not one tensor of the residual stream's width")
    sites.reasons["ssm_state"] = "the recurrent state is no tensor that native code passes between modules"


def _norm_scales(native: nn.Module, sites: BlockSites, block: Block, trace: Trace) -> None:
    memory = memory_of(block.inner)
    for name, reader in (("attn_norm_scale", "attn_in"), ("mlp_norm_scale", "mlp_in")):
        tap = sites.taps.get(reader)
        value = memory.get(tap.port) if isinstance(tap, Direct) else None
        norm = None
        if value is not None:
            source = next(
                (e for e in block.inner if any(_same(t, value) for t in e.outputs.values()) and e.inputs), None
            )
            norm = norm_tap(native, source, block.frame) if source is not None else None
        sites.add(name, norm, f"no norm of this block gives {reader}")


def _same(left: Tensor, right: Tensor) -> bool:
    return left.numel() == right.numel() and torch.equal(left.reshape(-1), right.reshape(-1))
