"""Identities that hold by the sites' definitions, checked on the tensors that one pass captured.

Each function returns, for every layer that it applies to, None or what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from tests.conformance.subject import TOLERANCE, Layer, Subject, differs
from torch import Tensor, nn

from assay.core.sites import SiteName
from assay.engine.passes import forward
from assay.models.ports import FIRST, Port
from assay.models.taps import Direct, HeadOut

Finding = tuple[Layer, str | None]
INDIRECT = "indirect"
"""Not an error: the architecture has a gate or a norm between the pattern's mixture of values and W_O."""


def residual_mid(subject: Subject) -> Iterator[Finding]:
    """resid_mid = resid_pre + attn_out (or ssm_out, where a recurrent mixer stands in attention's place)."""
    for layer in subject.layers:
        mid, pre = subject.value("resid_mid", layer), subject.value("resid_pre", layer)
        if mid is None or pre is None:
            continue
        mixed = [v for n in ("attn_out", "ssm_out") if (v := subject.value(n, layer)) is not None]
        if len(mixed) == 1:
            yield layer, differs(mid, pre + mixed[0], pre, mixed[0])


def residual_post(subject: Subject) -> Iterator[Finding]:
    """resid_post is the sum of resid_pre and everything that is added; in post-norm blocks, the norm of such a sum, and in
    those that multiply their stream at the end a multiple."""
    for layer in subject.layers:
        kind = subject.network.structure.kinds[layer]
        post, pre = subject.value("resid_post", layer), subject.value("resid_pre", layer)
        if kind == "unknown":
            yield layer, "the block's additions were not found"
        elif post is None or pre is None:
            yield layer, "the block's input or output is not a site"
        elif kind == "post-norm":
            yield layer, _post_norm(subject, layer, post)
        else:
            number = subject.network.multiplier(layer[1]) if layer[0] is None else None
            yield layer, _sum(subject, layer, pre, post if number is None else post / number)


def _sum(subject: Subject, layer: Layer, pre: Tensor, post: Tensor) -> str | None:
    names = ("attn_out", "ssm_out", "cross_attn_out", "mlp_out")
    parts = [v for n in names if (v := subject.value(n, layer)) is not None]
    if not parts:
        return "nothing that is added is a site"
    mid = subject.value("resid_mid", layer)
    last = subject.value("mlp_out", layer)
    if mid is not None and last is not None and subject.value("cross_attn_out", layer) is None:
        return differs(post, mid + last, mid, last)
    return differs(post, sum(parts, pre), pre, *parts)


def _post_norm(subject: Subject, layer: Layer, post: Tensor) -> str | None:
    """Some module reads (the normed middle + mlp_out) and what it returns is resid_post."""
    mid, mlp = subject.site("resid_mid", layer), subject.value("mlp_out", layer)
    if mid is None or mlp is None:
        return "the block's middle or its MLP's output is not a site"
    calls = _calls(subject)
    cross = subject.value("cross_attn_out", layer)
    streams = [out for path, _, out in calls if path == mid.tap.port.module]
    if cross is not None:
        streams = [out for _, x, out in calls for s in streams if _same(x, s + cross)]
    ends = [out for _, x, out in calls for stream in streams if _same(x, stream + mlp)]
    ends += [stream + mlp for stream in streams]
    return None if any(_same(end, post) for end in ends) else "no norm reads the sum and returns resid_post"


def _calls(subject: Subject) -> list[tuple[str, Tensor, Tensor]]:
    """Path, first input and first output of every module call in a native pass."""
    found: list[tuple[str, Tensor, Tensor]] = []
    stream = next(iter(subject.kept.sites.values())).shape[:2]

    def arranged(tensor: Tensor) -> Tensor:
        positions_first = tensor.ndim == 3 and tensor.shape[:2] == stream[::-1]
        return tensor.transpose(0, 1) if positions_first else tensor

    def recorder(path: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple, kwargs: dict, out: object) -> None:  # type: ignore[type-arg]
            first = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), None)
            if first is not None and isinstance(out, Tensor) and out.shape == first.shape:
                found.append((path, arranged(first).clone(), arranged(out).clone()))

        return record

    handles = [m.register_forward_hook(recorder(p), with_kwargs=True) for p, m in subject.native.named_modules()]
    forward(subject.network, subject.inputs)
    for handle in handles:
        handle.remove()
    return found


def _same(left: Tensor, right: Tensor) -> bool:
    if left.numel() != right.numel():
        return False
    return differs(left.reshape(-1), right.reshape(-1)) is None


def heads_sum(subject: Subject) -> Iterator[Finding]:
    """Σ over heads of head_out, plus the output projection's bias, is what that projection returns."""
    for layer in subject.layers:
        for name in ("head_out", "cross_head_out"):
            site, value = subject.site(name, layer), subject.value(name, layer)
            if site is None or value is None or not isinstance(site.tap, HeadOut):
                continue
            native = replace(site, tap=Direct(Port(site.tap.projection, "out", FIRST, site.tap.port.call)))
            returned = forward(subject.network, subject.inputs, keep=[native]).sites[native]
            bias = getattr(subject.network.modules[site.tap.projection], "bias", None)
            total = value.sum(-2) if bias is None else value.sum(-2) + bias
            yield layer, differs(total.reshape(-1), returned.reshape(-1), value)


def pattern_rows(subject: Subject) -> Iterator[Finding]:
    """The rows of the pattern sum to one; where a sink takes a share (`Structure.sinks`), to less."""
    for layer, _, _, pattern in _attention(subject):
        total, ones = pattern.sum(-1), torch.ones_like(pattern[..., 0])
        if subject.network.structure.sinks[layer]:
            yield layer, None if bool((total < 1 + TOLERANCE).all()) else "more than one"
        else:
            yield layer, differs(total, ones)


def pattern_is_softmax(subject: Subject) -> Iterator[Finding]:
    """pattern = softmax(scores), but for the share of a sink."""
    for layer, _, scores, pattern in _attention(subject):
        if scores is not None:
            yield layer, differs(pattern / pattern.sum(-1, keepdim=True), scores.softmax(-1))


def pattern_mixes_values(subject: Subject) -> Iterator[Finding]:
    """z = pattern · v; INDIRECT where native code changes v before, or the mixture after (a gate, a norm).

    z is what the output projection reads. That it is made from the pattern at all is checked by an edit: with another
    pattern at the last query, z is another there, and nowhere else.
    """
    for layer, prefix, _, pattern in _attention(subject):
        v, z = subject.value(f"{prefix}v", layer), subject.value(f"{prefix}z", layer)
        if z is None:
            continue
        if v is not None and v.shape[-1] == z.shape[-1] and _mixed(pattern, v, z):
            yield layer, None
        else:
            yield layer, INDIRECT if _follows(subject, layer, prefix) else "z does not follow the pattern"


def _attention(subject: Subject) -> Iterator[tuple[Layer, str, Tensor | None, Tensor]]:
    for layer in subject.layers:
        for prefix in ("", "cross_"):
            pattern = subject.value(f"{prefix}pattern", layer)
            if pattern is not None:
                yield layer, prefix, subject.value(f"{prefix}scores", layer), pattern


def _mixed(pattern: Tensor, v: Tensor, z: Tensor) -> bool:
    if v.shape[1] > pattern.shape[-1] or pattern.shape[1] % v.shape[2]:
        return False
    values = v.repeat_interleave(pattern.shape[1] // v.shape[2], dim=2)
    mixed = torch.einsum("bhqk,bkhd->bqhd", pattern[..., : v.shape[1]], values)
    return differs(z, mixed, v) is None


def _follows(subject: Subject, layer: Layer, prefix: str) -> bool:
    pattern, z = (subject.sites[SiteName(prefix + name, layer[1], layer[0])] for name in ("pattern", "z"))

    def reversed_at_end(value: Tensor) -> Tensor:
        return torch.cat([value[:, :, :-1], value[:, :, -1:].flip(-1)], dim=2)

    after = forward(subject.network, subject.inputs, [(pattern, reversed_at_end)], keep=[z]).sites[z]
    before = subject.kept.sites[z]
    return torch.equal(after[:, :-1], before[:, :-1]) and not torch.equal(after[:, -1], before[:, -1])


IDENTITIES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "mid = pre + attn": residual_mid,
    "post = sum of parts": residual_post,
    "Σ head_out + bias": heads_sum,
    "rows sum to 1": pattern_rows,
    "pattern = softmax(scores)": pattern_is_softmax,
    "z = pattern · v": pattern_mixes_values,
}
