"""Which positions of passes are unembedded: those at which a metric reads the logits.

The unembedding of a small model costs as much as several blocks; of an unchanged pass most of it is read by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from assay.engine.select import Scope
from assay.experiments.captures import GradCapture
from assay.experiments.edge_edits import Edges
from assay.experiments.executed import executed
from assay.experiments.experiment import Experiment
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Patch
from assay.models.network import Network
from assay.models.structure import Site

READS = frozenset({"logit_diff", "logit", "logprob", "prob", "accuracy", "rank", "entropy", "kl", "reverse_kl", "loss"})
"""Metrics that read the output at their own positions only."""

BEFORE = frozenset({"embed", "pos_embed"})
"""Sites outside the layers that native code passes before them."""


def positions_read(
    experiment: Experiment, unchanged: Sequence[str], scope: Callable[[str], Scope]
) -> dict[str, Bool[Tensor, "batch pos"]]:
    """For each input, the positions whose logits metrics read in its unchanged pass.

    `unchanged` are the runs that read it: those without edits, and those whose variants are compared with it.
    """
    found: dict[str, Tensor] = {}
    for name in unchanged:
        here = scope(name)
        found.setdefault(experiment.run(name).input, torch.zeros(len(here.rows), here.tokens, dtype=torch.bool))
    for metric in experiment.metrics:
        if isinstance(metric, SiteMetric):
            continue
        name = metric.run or experiment.main
        here = scope(name)
        chosen = [here.positions(metric.pos, row, here.tokens) for row in here.rows]
        for run in (run for run in unchanged if run in (name, metric.other_run)):
            read = found[experiment.run(run).input]
            for row, positions in enumerate(chosen):
                read[row, positions] = True
    for read in found.values():
        read[0, -1] |= not read.any()  # not every model's last norm takes no rows at all
    return found


def reader(experiment: Experiment) -> Callable[[str, Scope], Bool[Tensor, "batch pos"]]:
    """For an experiment without a sweep: the positions of a run's pass whose logits metrics and gradients of metrics read."""
    read = [(metric, metric.run or experiment.main) for metric in experiment.metrics]
    for name in executed(experiment):
        read += [(c.of, name) for c in experiment.run(name).captures if isinstance(c, GradCapture)]
    read = [(metric, name) for metric, name in read if not isinstance(metric, SiteMetric)]

    def of(run: str, scope: Scope) -> Tensor:
        found = torch.zeros(len(scope.rows), scope.tokens, dtype=torch.bool)
        for metric in (metric for metric, name in read if run in (name, metric.other_run)):
            for row, each in enumerate(scope.rows):
                found[row, scope.positions(metric.pos, each, scope.tokens)] = True
        found[0, -1] |= not found.any()  # not every model's last norm takes no rows at all
        return found

    return of


def why_all(network: Network, experiment: Experiment) -> str | None:
    """Why all positions of an experiment's runs without a sweep must be unembedded; None when they need not be."""
    runs = [experiment.run(name) for name in executed(experiment)]
    edits = [edit for run in runs for edit in run.edits]
    if any(isinstance(edit, Edges) for edit in edits):
        return "edges may end in the logits"
    sources = [edit.source_site for edit in edits if isinstance(edit, Patch) and edit.source_site]
    touched = [*sources, *(each.site for each in edits), *(each.site for run in runs for each in run.captures)]
    asked = [metric for run in runs for c in run.captures if isinstance(c, GradCapture) for metric in [c.of]]
    touched += [metric.site for metric in (*experiment.metrics, *asked) if isinstance(metric, SiteMetric)]
    sites = {"all": [site for name in touched for site in network.sites_named(name)]}
    return why_everywhere(experiment.model_copy(update={"metrics": (*experiment.metrics, *asked)}), sites)


def why_everywhere(experiment: Experiment, sites: Mapping[str, Iterable[Site]]) -> str | None:
    """Why all positions must be unembedded: a site after the blocks is kept, or a metric reads in a way of its own."""
    after = (s for found in sites.values() for s in found if s.layer is None and s.name.name not in BEFORE)
    site = next(after, None)
    if site is not None:
        return f"{site} is used, which comes after the blocks"
    others = (m.kind for m in experiment.metrics if not isinstance(m, SiteMetric) and m.kind not in READS)
    kind = next(others, None)
    return None if kind is None else f"the metric {kind} may read the output anywhere"
