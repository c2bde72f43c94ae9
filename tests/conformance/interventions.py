"""What must hold when sites are written: no-ops change nothing, edits take hold, nothing is left behind.

Each function returns None or what is wrong, with the sites at fault.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

import torch
from tests.conformance.gradients import by_hand
from tests.conformance.subject import Subject, differs, tensors
from torch import Tensor, nn

from assay.engine.passes import forward, on_device
from assay.models.attention import using
from assay.models.structure import Site

MULTIPLICATIVE = ("expert_weights",)
"""Sites where a zero means 'not chosen' and stays zero."""


def unchanged_by_looking(subject: Subject) -> str | None:
    """With every site captured and no edit, all native outputs are bit-identical to those without assay."""
    seen = tensors(subject.kept.native)
    if len(seen) != len(subject.plain):
        return "other outputs"
    return None if all(map(torch.equal, seen, subject.plain)) else "outputs differ from native"


def self_patch(subject: Subject) -> str | None:
    """Setting sites to the values they have anyway leaves all outputs bit-identical.

    Sites of one name are set together in all layers: what goes wrong in one layer stays in the residual stream, which is
    not set. The residual stream itself, and what lies outside the layers, is set at one site at a time.
    """
    together: dict[object, list[Site]] = {}
    for site in subject.sites.values():
        stream = site.layer is None or site.name.name.startswith("resid_")
        together.setdefault(site if stream else site.name.at(None), []).append(site)

    def wrong(sites: list[Site]) -> bool:
        patches = [(site, _set_to(subject.kept.sites[site])) for site in sites]
        after = forward(subject.network, subject.inputs, patches)
        return not all(map(torch.equal, tensors(after.native), subject.plain))

    return _names(site for sites in together.values() if wrong(sites) for site in sites)


def _set_to(value: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _: value.clone()


def edit_takes_hold(subject: Subject) -> str | None:
    """Changing any one site changes the output, unless native code itself has no path from there to its output."""
    without = [site for site, after in edited(subject).items() if torch.equal(after.output, _output(subject))]
    if not without:
        return None
    paths = by_hand(subject)
    wrong = [site for site in without if bool(paths[site][0].any())]
    return _names(wrong) or f"native: no path to the output from {_layers(without)}"


def set_is_captured(subject: Subject) -> str | None:
    """What is captured at a site after a change is the new value, within one rounding where the site is a sum."""
    return _names(site for site, after in edited(subject).items() if differs(after.captured, after.wanted) is not None)


def nothing_left_after_error(subject: Subject) -> str | None:
    """An error or Ctrl-C inside an edit leaves no hook and no other attention implementation; the next pass is as
    before."""
    hooks = _hooks(subject.native)  # some models install their own
    kernels = [getattr(holder, name) for holder, name in subject.network.holders]
    by_side = {site.tap.port.side: site for site in subject.sites.values()}
    for site, error in zip(by_side.values(), cycle((KeyboardInterrupt, ArithmeticError)), strict=False):
        try:
            forward(subject.network, subject.inputs, [(site, _failing(error))], keep=subject.sites.values())
        except error:
            continue
        return f"{site.name} was not reached"
    if _hooks(subject.native) != hooks:
        return "hooks are left"
    if kernels != [getattr(holder, name) for holder, name in subject.network.holders]:
        return "another attention implementation is left"
    after = forward(subject.network, subject.inputs)
    return None if all(map(torch.equal, tensors(after.native), subject.plain)) else "outputs differ after an error"


def _failing(error: type[BaseException]) -> Callable[[Tensor], Tensor]:
    def fail(_: Tensor) -> Tensor:
        raise error

    return fail


def copies_are_independent(subject: Subject) -> str | None:
    """A deep copy has sites of its own: changing its weights or tapping it leaves the original alone."""
    twin = copy.deepcopy(subject.network)
    site = next(reversed([s for s in subject.sites.values() if s.name.name == "resid_pre"]), None)
    if site is None:
        return None
    with torch.no_grad():
        for parameter in twin.native.parameters():
            parameter.zero_()
    after = forward(subject.network, subject.inputs, keep=[site])
    if not all(map(torch.equal, tensors(after.native), subject.plain)):
        return "the original changed with its copy"
    seen = forward(twin, subject.inputs, keep=[site]).sites[site]
    return "the copy's sites read the original" if torch.equal(seen, subject.kept.sites[site]) else None


def moved_copies_work(subject: Subject) -> str | None:
    """A copy sent elsewhere with `.to` (here: to double precision) keeps its sites; the original stays as it was."""
    twin = copy.deepcopy(subject.network)
    twin.native.to(torch.float64)
    inputs = {
        n: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for n, v in subject.inputs.items()
    }
    with torch.no_grad(), using(twin.holders, "eager"):
        try:
            plain = tensors(twin.native(**on_device(twin, inputs)))
        except RuntimeError:
            return "native: does not run in double precision"
    kept = forward(twin, inputs, keep=twin.structure.sites.values())
    if not all(map(torch.equal, tensors(kept.native), plain)):
        return "the copy's outputs differ from native"
    far = [s for s, v in kept.sites.items() if _relative(v.double(), subject.kept.sites[s].double()) > 1e-2]
    if far:
        return _names(far)
    after = forward(subject.network, subject.inputs)
    return None if all(map(torch.equal, tensors(after.native), subject.plain)) else "the original changed with its copy"


def _relative(left: Tensor, right: Tensor) -> float:
    ordinary = (left.abs() < 1e6) & (right.abs() < 1e6)
    gap = torch.where(ordinary, left - right, 0.0).abs().max()
    return float(gap / torch.where(ordinary, right, 0.0).abs().max().clamp_min(1e-30))


INTERVENTIONS: dict[str, Callable[[Subject], str | None]] = {
    "native outputs": unchanged_by_looking,
    "self-patch": self_patch,
    "edits change": edit_takes_hold,
    "set = captured": set_is_captured,
    "clean after error": nothing_left_after_error,
    "copies": copies_are_independent,
    "moved copies": moved_copies_work,
}


@dataclass(frozen=True)
class Edited:
    """A pass in which one site got another value: the output, the value captured there, and the one that was set."""

    output: Tensor
    captured: Tensor
    wanted: Tensor


@lru_cache(maxsize=1)
def edited(subject: Subject) -> dict[Site, Edited]:
    """One such pass for every site."""
    return {site: _edit(subject, site) for site in subject.sites.values() if site.writable}


def _edit(subject: Subject, site: Site) -> Edited:
    wanted = _other(subject.kept.sites[site], site)
    after = forward(subject.network, subject.inputs, [(site, lambda value: wanted.clone())], keep=[site])
    assert after.output is not None
    return Edited(after.output, after.sites[site], wanted)


def _other(value: Tensor, site: Site) -> Tensor:
    """A random value near the site's own in size; what is masked stays masked."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(value.shape, generator=generator)
    if site.name.name in MULTIPLICATIVE or site.name.name.endswith("scale"):
        return value * (1 + noise.abs())
    ordinary = value[value.abs() < 1e6]
    return torch.where(value.abs() < 1e6, value + noise * ordinary.std(), value)


def _output(subject: Subject) -> Tensor:
    assert subject.kept.output is not None
    return subject.kept.output


def _names(sites: Iterable[Site]) -> str | None:
    return ", ".join(dict.fromkeys(str(site.name.at(None)) for site in sites)) or None


def _layers(sites: Iterable[Site]) -> str:
    return ", ".join(dict.fromkeys(str(site.name).rpartition(".")[0] or str(site) for site in sites))


def _hooks(native: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in native.modules())
