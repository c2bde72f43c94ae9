"""The same outputs under a fused attention kernel as under the eager one: looking never changes the kernel for good."""

from __future__ import annotations

import torch
from tests.conformance.subject import Subject, tensors

from assay.engine.passes import forward, on_device
from assay.models.attention import using

FUSED = "sdpa"


def fused_kernel_is_kept(subject: Subject) -> str | None:
    """Under the fused kernel, a pass with sites captured is bit-identical to native, as long as none lies inside
    attention; and a pass that looks inside attention leaves the fused kernel in place after it."""
    native, network = subject.native, subject.network
    if not getattr(native, "_supports_sdpa", False) or network.structure.implementation != "assay":
        return "–"
    outside = [site for site in subject.sites.values() if not site.tap.port.in_attention]
    with using(network.holders, FUSED), torch.no_grad():
        plain = tensors(native(**on_device(network, subject.inputs)))
        seen = tensors(forward(network, subject.inputs, keep=outside).native)
        forward(network, subject.inputs, keep=subject.sites.values())
        after = tensors(native(**on_device(network, subject.inputs)))
        named = {getattr(holder, name) for holder, name in network.holders}
    if not all(map(torch.equal, seen, plain)):
        return "outputs differ from native under the fused kernel"
    if named != {FUSED} or not all(map(torch.equal, after, plain)):
        return "the fused kernel is not restored"
    return None
