"""Which positions of passes are unembedded: those at which a metric reads the logits.

The unembedding of a small model costs as much as several blocks; of an unchanged pass most of it is read by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from assay.engine.ends import BEFORE
from assay.engine.select import Scope
from assay.experiments.edge_edits import Edges
from assay.experiments.executed import executed, measured, of_output
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Patch
from assay.models.network import Network
from assay.models.structure import Site

READS = frozenset({"logit_diff", "logit", "logprob", "prob", "accuracy", "rank", "entropy", "kl", "reverse_kl", "loss"})
"""Metrics that read the output at their own positions only."""


def positions_read(
    experiment: Experiment, unchanged: Sequence[str], scope: Callable[[str], Scope]
) -> dict[str, Bool[Tensor, "batch pos"]]:
    """For each input, the positions whose logits metrics read in its unchanged pass.

    `unchanged` are the runs that read it: those without edits, and those whose variants are compared with it.
    """
    found: dict[str, Tensor] = {}
    for name in unchanged:
        given, here = experiment.run(name).input, _read(of_output(experiment), name, scope)
        found[given] = found[given] | here if given in found else here
    for read in found.values():
        _at_least_one(read)
    return found


def reader(experiment: Experiment) -> Callable[[str, Callable[[str], Scope]], Bool[Tensor, "batch pos"]]:
    """The positions of a run's pass whose logits metrics and gradients of metrics read."""
    read = of_output(experiment)
    return lambda run, scope: _at_least_one(_read(read, run, scope))


def _read(metrics: Iterable[tuple[Metric, str]], run: str, scope: Callable[[str], Scope]) -> Bool[Tensor, "batch pos"]:
    """Where these metrics read a run's pass; one that compares another run with it reads it at its own positions."""
    here = scope(run)
    found = torch.zeros(len(here.rows), here.tokens, dtype=torch.bool)
    for metric, name in metrics:
        for its in ([here] if run == name else []) + ([here.beside(scope(name))] if run == metric.other_run else []):
            for row, each in enumerate(its.rows):
                found[row, its.positions(metric.pos, each, its.tokens)] = True
    return found


def _at_least_one(read: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch pos"]:
    """Not every model's last norm takes no rows at all."""
    read[0, -1] |= not read.any()
    return read


def why_all(network: Network, experiment: Experiment, runs: Iterable[str] | None = None) -> str | None:
    """Why all positions of runs that do not vary must be unembedded; None when they need not be. `runs`: not all of them."""
    these = [experiment.run(name) for name in (executed(experiment) if runs is None else runs)]
    edits = [edit for run in these for edit in run.edits]
    if any(isinstance(edit, Edges) for edit in edits):
        return "edges may end in the logits"
    sources = [edit.source_site for edit in edits if isinstance(edit, Patch) and edit.source_site]
    touched = [*sources, *(each.site for each in edits), *(each.site for run in these for each in run.captures)]
    touched += [metric.site for metric, _ in measured(experiment) if isinstance(metric, SiteMetric)]
    return why_everywhere(experiment, [site for name in touched for site in network.sites_named(name)])


def why_everywhere(experiment: Experiment, sites: Iterable[Site]) -> str | None:
    """Why all positions must be unembedded: a site after the blocks is used, or a metric reads in a way of its own."""
    after = (site for site in sites if site.layer is None and site.name.name not in BEFORE)
    site = next(after, None)
    if site is not None:
        return f"{site} is used, which comes after the blocks"
    others = (m.kind for m, _ in measured(experiment) if not isinstance(m, SiteMetric) and m.kind not in READS)
    kind = next(others, None)
    return None if kind is None else f"the metric {kind} may read the output anywhere"
