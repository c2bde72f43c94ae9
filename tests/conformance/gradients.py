"""The gradient at every site against a reference written by hand.

The reference is the native model alone with plain torch hooks: wherever a site lies, `+ leaf` is added to the tensor that
passes, a leaf of zeros, and autograd gives the gradient there. Inside attention the softmax and the model file's own
`eager_attention_forward` are replaced by ones that add leaves. Sites that exist only inside an expression follow from a
neighbour in closed form: the middle of the residual stream from the branch that is added to it, a head's share from the
projection's output, a norm's scale from the norm's output, an expert's weight from the list of chosen weights.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

import torch
from tests.conformance.subject import Subject
from torch import Tensor, nn

from assay.engine.followed import followed
from assay.engine.passes import on_device
from assay.models.ends import output_key
from assay.models.ports import Port, get_input, get_output, put_input, put_output
from assay.models.structure import Site
from assay.models.taps import Direct, ExpertWeights, HeadOut, NormScale, Sum
from assay.models.views import Expand, Frame, Scaled, View

TOLERANCE = 1e-4
"""A gradient adds up what comes back through everything downstream, which cancels in part: ten times the tolerance of
the values, which lie close to the size of their terms."""


def gradients_agree(subject: Subject) -> str | None:
    """Every site's gradient of a random weighing of the outputs equals the reference's."""
    if not subject.sites:
        return "–"
    try:
        wanted = by_hand(subject)
    except AssertionError:
        return "native: refuses gradients in evaluation mode"
    found = by_assay(subject)
    wrong = [site for site in subject.sites.values() if not agree(found[site], *wanted[site])]
    return ", ".join(dict.fromkeys(str(site.name.at(None)) for site in wrong)) or None


def agree(found: Tensor, wanted: Tensor, terms: Tensor) -> bool:
    """Equal within TOLERANCE of the largest term that was summed."""
    scale = max(float(terms.abs().max()), float(wanted.abs().max()))
    return float((found - wanted).abs().max()) <= TOLERANCE * scale


def by_assay(subject: Subject) -> dict[Site, Tensor]:
    """Gradients at all sites, from one pass in which native code computes on from the sites' own tensors."""
    kept = followed(subject.network, subject.inputs, attach=subject.sites.values())
    assert kept.output is not None
    sites = list(kept.sites)
    found = torch.autograd.grad(_weighed(kept.output), [kept.sites[s] for s in sites], allow_unused=True)
    return {s: torch.zeros_like(kept.sites[s]) if g is None else g for s, g in zip(sites, found, strict=True)}


@lru_cache(maxsize=1)
def by_hand(subject: Subject) -> dict[Site, tuple[Tensor, Tensor]]:
    """The same from native code with leaves; and the terms of the last sum that it took."""
    ports = {port for site in subject.sites.values() for port in (site.tap.port, *site.tap.needs)}
    leaves = Leaves(subject.native, ports, _expanded(subject), _rows(subject))
    with leaves.added(), torch.enable_grad():
        native = subject.native(**on_device(subject.network, subject.inputs))
    total = _weighed(get_output(native, output_key(native)))
    used = list(leaves.leaf)
    found = torch.autograd.grad(total, [leaves.leaf[p] for p in used], allow_unused=True)
    of = {p: torch.zeros_like(leaves.leaf[p]) if g is None else g for p, g in zip(used, found, strict=True)}
    frames = {site: _frame(subject, site) for site in subject.sites.values()}
    return {site: _closed_form(subject, site, of, leaves.passed, frames[site]) for site in subject.sites.values()}


def _weighed(output: Tensor) -> Tensor:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    finite = torch.where(output.isfinite() & (output.abs() < 1e6), output, 0.0)
    return (finite * weights).sum()


def _frame(subject: Subject, site: Site) -> Frame:
    value = subject.kept.sites[site]
    return Frame(value.shape[0], value.shape[2] if site.axes[2:3] == ("query",) else value.shape[1])


def _rows(subject: Subject) -> int:
    return next(iter(subject.kept.sites.values())).shape[0]


def _expanded(subject: Subject) -> set[Port]:
    """Ports whose tensor is shared by the batch, while the site has one for each example."""
    taps = [site.tap for site in subject.sites.values() if isinstance(site.tap, Direct)]
    return {tap.port for tap in taps if any(isinstance(step, Expand) for step in tap.view.steps)}


def _closed_form(
    subject: Subject, site: Site, of: Mapping[Port, Tensor], passed: Mapping[Port, Tensor], frame: Frame
) -> tuple[Tensor, Tensor]:
    tap, value = site.tap, subject.kept.sites[site]
    here = of[tap.port]
    if isinstance(tap, (Direct, Sum)):
        return _through(tap.view, here, frame), here
    if isinstance(tap, HeadOut):
        return tap.view.read(here, frame)[:, :, None].expand_as(value), here
    if isinstance(tap, NormScale):
        bias = getattr(subject.network.modules[tap.port.module], "bias", None)
        out = passed[tap.port].detach() if bias is None else passed[tap.port].detach() - bias.detach()
        terms = tap.view.read(-here * out, frame) / value
        return terms.sum(-1, keepdim=True), terms
    assert isinstance(tap, ExpertWeights)
    flat, chosen = here.reshape(-1, here.shape[-1]), passed[tap.chosen].reshape(-1, here.shape[-1])
    return torch.zeros_like(value).reshape(-1, tap.n_experts).scatter(-1, chosen, flat).view_as(value), here


def _through(view: View, gradient: Tensor, frame: Frame) -> Tensor:
    """A layout's gradient is laid out as its tensor; a factor α between native and site gives 1/α."""
    factors = [step.factor for step in view.steps if isinstance(step, Scaled)]
    for factor in factors:
        gradient = gradient / factor**2
    return view.read(gradient, frame)


class Leaves:
    """A zero leaf at each port, for one pass of the native model."""

    def __init__(self, native: nn.Module, ports: set[Port], expanded: set[Port], rows: int) -> None:
        self.native, self.ports, self.expanded, self.rows = native, ports, expanded, rows
        self.names = {id(module): name for name, module in native.named_modules()}
        self.calls: Counter[str] = Counter()
        self.softmaxes: Counter[tuple[str, int]] = Counter()
        self.running: list[tuple[str, int]] = []
        self.attended: set[tuple[str, int]] = set()
        self.busy = False
        self.leaf: dict[Port, Tensor] = {}
        self.passed: dict[Port, Tensor] = {}

    def plus(self, port: Port, tensor: Tensor) -> Tensor:
        """The tensor itself in value, with a leaf in it when the port is wanted."""
        if port not in self.ports:
            return tensor
        self.passed[port] = tensor
        if not tensor.is_floating_point():
            return tensor
        if port in self.expanded:
            tensor = (tensor if tensor.ndim == 3 else tensor[None]).expand(self.rows, *tensor.shape[-2:])
        self.leaf[port] = torch.zeros_like(tensor).requires_grad_()
        return tensor + self.leaf[port]

    @contextmanager
    def added(self) -> Iterator[None]:
        """Hooks and replaced functions in place."""
        with ExitStack() as stack:
            for module in self.native.modules():
                stack.callback(module.register_forward_pre_hook(self.enter, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(self.leave, prepend=True).remove)
            for place, name in ((nn.functional, "softmax"), (torch, "softmax"), (Tensor, "softmax")):
                stack.enter_context(mock.patch.object(place, name, self.softmax(getattr(place, name))))
            for name in {type(module).__module__ for module in self.native.modules()}:
                file = sys.modules[name]
                if hasattr(file, "eager_attention_forward"):
                    own = self.attention(file.eager_attention_forward)
                    stack.enter_context(mock.patch.object(file, "eager_attention_forward", own))
            yield

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = self.names[id(module)]
        self.running.append((path, self.calls[path]))
        self.calls[path] += 1
        for port in self._at("in"):
            new = self.plus(port, get_input(args, kwargs, port.key))
            args, kwargs = put_input(args, kwargs, port.key, new)
        return args, kwargs

    def leave(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        for port in self._at("out"):
            out = put_output(out, port.key, self.plus(port, get_output(out, port.key)))
        self.running.pop()
        return out

    def _at(self, side: str) -> list[Port]:
        path, call = self.running[-1]
        return [p for p in self.ports if p.module == path and p.call == call and p.side == side]

    def softmax(self, real: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A softmax with leaves before and after it. torch's own call one another: only the outermost counts."""

        def softmax(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self.busy or not self.running:
                return real(x, *args, **kwargs)
            (path, call), index = self.running[-1], self.softmaxes[self.running[-1]]
            self.softmaxes.update(self.running if x.ndim > 2 else ())
            scores = self.plus(Port(path, "scores", index, call), x)
            self.busy = True
            pattern = real(scores, *args, **kwargs)
            self.busy = False
            return self.plus(Port(path, "pattern", index, call), pattern)

        return softmax

    def attention(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The model file's attention function, with leaves in its query and key."""

        def attention(module: nn.Module, query: Tensor, key: Tensor, *args: Any, **kwargs: Any) -> Any:
            path = self.names[id(module)]
            call = self.calls[path] - 1
            if Port(path, "scores", 0, call) in self.ports and (path, call) not in self.attended:
                self.softmaxes[path, call] = 0  # those before it in its module are none of its own
            self.attended.add((path, call))
            query, key = self.plus(Port(path, "q", 0, call), query), self.plus(Port(path, "k", 0, call), key)
            return real(module, query, key, *args, **kwargs)

        return attention
