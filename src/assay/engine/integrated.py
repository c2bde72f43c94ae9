"""Integrated gradients at sites: how much of a metric's change each entry of a site accounts for, along a straight line.

The line goes from a site's value in another run (a', or zero) to its value in this one (a), the rest of the run being this
one's. An entry is attributed its change times the metric's mean gradient along the line, by the midpoint rule:

    attribution = (a − a') · mean_k ∂m/∂site (a' + α_k (a − a'))        α_k = (k − ½) / steps,  k = 1 … steps

For a metric that is smooth along the line the attributions add up to m(a) − m(a') as `steps` grows, with an error that falls
as 1/steps²; `completeness_gap` is by how much they do not. Points of the line are rows of one batch.

Cost for each site: `steps` + 1 rows of a forward and `steps` of a backward pass for each example, in batches of at most
`batch` rows; and one forward pass of each run. Source: Sundararajan et al. 2017, arXiv:1703.01365.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import ExperimentError, InputError, SettingsError
from assay.engine.followed import followed
from assay.engine.frozen import freezing, kinds
from assay.engine.gradients import Under
from assay.engine.prepared import Prepared, per_example, picked
from assay.engine.rows import merge, own_rows
from assay.engine.run_result import ragged_axes
from assay.engine.runner import Runner
from assay.experiments.metrics import Metric
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Patch, Resample
from assay.models.network import Network
from assay.models.structure import Site

OTHER = "integrated from"
"""The name of the run that lines begin in, among the sources."""


class More(Under, total=False):
    """Settings that have a default, and what gradients are taken under."""

    steps: int
    """Points of a line; 16 if not given."""
    batch: int
    """The most rows in one pass; 64 if not given."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Attributions by site, in the site's own shape, and how far they are from adding up."""

    attributions: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    """The mean gradient along the line: attributions are these times the change of the site's value."""
    effects: Mapping[str, Float[Tensor, " batch"]]
    """By how much the metric differs between both ends of a site's line, for each example."""

    def __getitem__(self, site: str) -> Tensor:
        return self.attributions[site]

    @property
    def completeness_gap(self) -> dict[str, Float[Tensor, " batch"]]:
        """Effect minus sum of attributions, for each site and example."""
        return {
            site: effect - self.attributions[site].nan_to_num().flatten(1).sum(1).to(effect)
            for site, effect in self.effects.items()
        }


def integrated_gradients(
    network: Network,
    inputs: Any,
    *,
    of: Metric,
    sites: str | Sequence[str],
    source: Any = None,
    steps: int = 16,
    batch: int = 64,
    frozen: str | Sequence[str] = (),
    **under: Any,
) -> IntegratedGradients:
    """Attribute the change of a metric to entries of sites, on lines from the run of `source` (None: from zero).

    `batch` is the most rows in one pass, `frozen` names what is taken for constant (`assay.engine.frozen`), and `under`
    are edits, sources and positions.

    Raises:
        SettingsError: fewer than one step or row.
        InputError: a source with prompts of other lengths.
        ExperimentError: a metric that counts, or an edit that draws from other examples.
    """
    if steps < 1 or batch < 1:
        raise SettingsError(f"steps={steps} and batch={batch}: expected at least 1 of each.")
    names = [sites] if isinstance(sites, str) else list(sites)
    wanted = [site for name in names for site in network.sites_named(name)]
    sources = {**(under.pop("sources", None) or {}), **({} if source is None else {OTHER: source})}
    probe = [] if source is None else [Patch(site=str(site), source=OTHER) for site in wanted]
    prepared = Prepared.of(network, inputs, probe=probe, metrics=[of], sources=sources, **under)
    if any(isinstance(edit, Resample) for edit in prepared.run.edits):
        raise ExperimentError("resample edits draw from the examples of a pass, and here those are points of lines.")
    line = _Line(prepared, of, steps, batch, kinds(frozen), source is not None)
    parts: dict[Site, list[tuple[list[int], _Found]]] = {}
    for rows in prepared.groups():
        for site, found in line.along(rows, wanted):
            parts.setdefault(site, []).append((rows, found))

    def whole(take: Callable[[_Found], Tensor], site: Site, *, ragged: bool = True) -> Tensor:
        return merge([(rows, take(f)) for rows, f in parts[site]], ragged=ragged_axes(site) if ragged else ())

    return IntegratedGradients(
        {str(site): whole(lambda f: f.change * f.gradient, site) for site in wanted},
        {str(site): whole(lambda f: f.gradient, site) for site in wanted},
        {str(site): whole(lambda f: f.effect, site, ragged=False) for site in wanted},
    )


@dataclass(frozen=True)
class _Found:
    """For one site and group of examples: the change of its value, the mean gradient, and the metric's change."""

    change: Tensor
    gradient: Tensor
    effect: Tensor


@dataclass(frozen=True)
class _Line:
    prepared: Prepared
    of: Metric
    steps: int
    batch: int
    frozen: tuple[str, ...]
    sourced: bool

    def along(self, rows: Sequence[int], sites: Sequence[Site]) -> Iterator[tuple[Site, _Found]]:
        """Every site's line, for examples of one length."""
        runner = self.prepared.runner(rows)
        runner.wanted = {**runner.wanted, "main": {*runner.wanted.get("main", ()), *sites}}
        kept = runner.make("main", self.prepared.run)
        here = per_example(runner.measure_smooth(self.prepared.experiment.metrics[0], "main", self.prepared.run))
        for site in sites:
            end = kept.sites[site]
            start = runner.value(OTHER, site).to(end) if self.sourced else torch.zeros_like(end)
            if start.shape != end.shape:
                raise InputError(
                    f"{site} is {list(end.shape)} here and {list(start.shape)} in the source: expected prompts as long."
                )
            gradient, there = self._integrate(runner, site, start, end)
            yield site, _Found(end - start, gradient, here - there)

    def _integrate(self, runner: Runner, site: Site, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The mean gradient along a line, and the metric at its start."""
        points = [0.0, *((k - 0.5) / self.steps for k in range(1, self.steps + 1))]
        size = max(1, self.batch // len(runner.rows))
        total, begin = torch.zeros_like(end), None
        for first in range(0, len(points), size):
            some = points[first : first + size]
            measured, gradients = self._at(runner, site, start, end, some)
            begin = measured[0] if begin is None else begin
            total += gradients[1 if first == 0 else 0 :].sum(0)
        assert begin is not None
        return total / self.steps, begin

    def _at(
        self, runner: Runner, site: Site, start: Tensor, end: Tensor, points: Sequence[float]
    ) -> tuple[Float[Tensor, "point batch"], Float[Tensor, "point batch ..."]]:
        """The metric, and its gradient at the site, at some points of a line: rows of one pass."""
        alpha = torch.tensor(points, dtype=end.dtype, device=end.device).reshape(-1, *[1] * end.ndim)
        values = (start + alpha * (end - start)).flatten(0, 1)
        many = picked(runner, list(range(len(runner.rows))) * len(points))
        run, prompts = self.prepared.run, runner.prompts[self.prepared.run.input]
        changes = [*many.changes(run.edits, many.scope(run)), (site, lambda _: values)]
        read = [many.site(self.of.site)] if isinstance(self.of, SiteMetric) else []
        kept = many.kept["main"] = followed(
            runner.network,
            prompts.inputs(own_rows(prompts, many.rows)),
            changes,
            read,
            attach=[site],
            frozen=freezing(runner.network, self.frozen, [changed for changed, _ in changes]),
            ends=bool(read),
        )
        with torch.enable_grad():
            measured = per_example(many.measure_smooth(self.prepared.experiment.metrics[0], "main", run))
        found = None
        if measured.requires_grad:
            found = torch.autograd.grad(measured.sum(), kept.sites[site], allow_unused=True)[0]
        gradient = torch.zeros_like(values) if found is None else found
        shape = (len(points), len(runner.rows))
        return measured.detach().reshape(shape), gradient.unflatten(0, shape)
