"""Jacobian-vector products: how sites and metrics move when a site moves along a direction, to first order.

    jvp(at, v → to) = d to(at + t v)/dt at t = 0

Forward-mode differentiation: the tangent is carried along through native code, in the eager attention kernel, since fused
ones can't carry it. One pass gives the derivative of everything downstream, however much that is; a gradient is the other
way round: one metric's derivative with respect to everything upstream. Where native code has an operation without a
forward derivative, the product is taken from two backward passes: Jᵀu is linear in u, and its derivative along v is J v.

Cost: about two forward passes and no stored graph; the other way a forward pass, and two backward passes for each `to`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.engine.changes import bind
from assay.engine.followed import followed
from assay.engine.frozen import freezing, kinds
from assay.engine.hooks import Action, Change
from assay.engine.passes import Kept
from assay.engine.prepared import Prepared
from assay.engine.rows import merge, own_rows
from assay.engine.run_result import ragged_axes
from assay.engine.runner import Runner
from assay.experiments.given_edits import Add
from assay.experiments.metrics import Metric
from assay.experiments.site_metrics import SiteMetric
from assay.models.attention import using
from assay.models.network import Network
from assay.models.structure import Site

To = str | Metric
"""What moves: a site, or a metric."""


def jvp(
    network: Network,
    inputs: Any,
    *,
    at: str,
    tangent: Any,
    to: To | Sequence[To],
    pos: Any = None,
    frozen: str | Sequence[str] = (),
    **under: Any,
) -> dict[str, Tensor]:
    """The derivative of each of `to` along `tangent` at the site `at`: in a site's own shape, or a metric's.

    `tangent` broadcasts to the site as the vector of `edit.add` does, at the positions `pos` (None: all). `frozen` names
    what is taken for constant (`assay.engine.frozen`); `under` are edits, sources and positions.

    Raises:
        SiteError: a site that this model lacks.
        ExperimentError: a metric that counts, or that scores an answer of several tokens.
    """
    asked = [to] if isinstance(to, str | Metric) else list(to)
    site = network.site(at)
    names = [one for one in asked if isinstance(one, str)]
    direction = Add(site=str(site), vector=tangent, pos=pos)
    metrics = [one for one in asked if isinstance(one, Metric)]
    prepared = Prepared.of(network, inputs, probe=[direction], metrics=metrics, **under)
    push = _Push(prepared, site, direction, [s for name in names for s in network.sites_named(name)], kinds(frozen))
    found: dict[str, list[tuple[Sequence[int], Tensor]]] = {}
    for rows in prepared.groups():
        for name, product in push.products(rows).items():
            found.setdefault(name, []).append((rows, product))
    sites = {str(s): ragged_axes(s) for s in push.sites}
    return {n: merge(parts, ragged=sites.get(n, tuple(range(1, parts[0][1].ndim)))) for n, parts in found.items()}


@dataclass(frozen=True)
class _Push:
    """A direction at a site, and the sites and metrics whose derivatives along it are asked for."""

    prepared: Prepared
    site: Site
    direction: Add
    sites: list[Site]
    frozen: tuple[str, ...]

    def products(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The products for examples of one length."""
        runner = self.prepared.runner(rows)
        scope = runner.scope(self.prepared.run)

        def tangent(value: Tensor) -> Tensor:
            return bind(self.direction, self.site, scope, runner)(torch.zeros_like(value))

        with _eager(self.prepared.network):
            try:
                return self._forwards(runner, tangent)
            except NotImplementedError:  # torch says so of an operation without a forward derivative
                return self._backwards(runner, tangent)

    def _forwards(self, runner: Runner, tangent: Change) -> dict[str, Tensor]:
        def lift(value: Tensor) -> Tensor:
            dual: Tensor = forward_ad.make_dual(value, tangent(value))
            return dual

        def moved(value: Tensor) -> Tensor:
            plain, found = forward_ad.unpack_dual(value)
            return torch.zeros_like(plain) if found is None else found.clone()

        with forward_ad.dual_level():
            reached = self._reached(runner, self._run(runner, [Action(self.site, lift=lift)], attach=False))
            return {name: moved(value) for name, value in reached.items()}

    def _backwards(self, runner: Runner, tangent: Change) -> dict[str, Tensor]:
        kept = self._run(runner, [], attach=True)
        start = kept.sites[self.site]
        with torch.enable_grad():
            reached = self._reached(runner, kept)
            return {name: _through(start, value, tangent(start)) for name, value in reached.items()}

    def _run(self, runner: Runner, lifted: Sequence[Action], *, attach: bool) -> Kept:
        """The pass. It goes on to the output only for metrics that read it."""
        network, run = runner.network, self.prepared.run
        prompts = runner.prompts[run.input]
        changes = runner.changes(run.edits, runner.scope(run))
        metrics = self.prepared.experiment.metrics
        read = [runner.site(metric.site) for metric in metrics if isinstance(metric, SiteMetric)]
        return followed(
            network,
            prompts.inputs(own_rows(prompts, runner.rows)),
            changes,
            [self.site, *self.sites, *read],  # the first, so that a pass does not end before it
            attach=[self.site] if attach else [],
            frozen=freezing(network, self.frozen, [site for site, _ in changes]),
            lifted=lifted,
            ends=len(read) == len(metrics),
        )

    def _reached(self, runner: Runner, kept: Kept) -> dict[str, Tensor]:
        """The values of what was asked for."""
        runner.kept["main"] = kept
        found = {str(site): kept.sites[site] for site in self.sites}
        for metric in self.prepared.experiment.metrics:
            found[metric.name or metric.kind] = runner.measure_smooth(metric, "main", self.prepared.run)
        return found


def _through(start: Tensor, end: Tensor, tangent: Tensor) -> Tensor:
    """J v from backward passes alone: the derivative of Jᵀu, which is linear in u, along v."""
    if not end.requires_grad:
        return torch.zeros_like(end)
    cotangent = torch.zeros_like(end).requires_grad_()
    back = torch.autograd.grad(end, start, cotangent, create_graph=True, allow_unused=True)[0]
    if back is None or not back.requires_grad:
        return torch.zeros_like(end)
    found = torch.autograd.grad(back, cotangent, tangent, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(end) if found is None else found.detach()


@contextmanager
def _eager(network: Network) -> Iterator[None]:
    """Attention in plain torch operations, which have all derivatives."""
    with using(network.holders, network.structure.implementation), sdpa_kernel(SDPBackend.MATH):
        yield
