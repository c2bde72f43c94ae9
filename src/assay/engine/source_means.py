"""Means over all examples of a run, for edits that replace by a mean. Made before any variant is run.

Cost: one forward pass for each group of examples of equal length of every run whose mean is taken; none for means that
were given, as they are where parts of an experiment are measured apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.rows import groups
from assay.engine.runner import Runner, needed_sites
from assay.engine.select import position_axis
from assay.engine.tally import Tally
from assay.experiments.experiment import Experiment
from assay.experiments.graph import topological
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Mean
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site

MeanKey = tuple[str, str, bool]
"""A run, a site, and whether each position has a mean of its own."""

_given: ContextVar[Mapping[MeanKey, Tensor] | None] = ContextVar("assay_given_means", default=None)


@contextmanager
def given_means(means: Mapping[MeanKey, Tensor]) -> Iterator[None]:
    """Take these means as they are in this block instead of making them."""
    token = _given.set(means)
    try:
        yield
    finally:
        _given.reset(token)


def source_means(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    variants: Iterable[Mapping[str, Run]],
    tally: Tally | None = None,
) -> dict[tuple[str, Site, bool], Tensor]:
    """The mean tensor for each (run, site, per position) that an edit asks for; batch (and position) have size 1."""
    asked: dict[str, set[tuple[Site, bool]]] = {}
    for runs in variants:
        for run in runs.values():
            for edit in (e for e in run.edits if isinstance(e, Mean)):
                asked.setdefault(edit.over, set()).update(
                    (s, edit.per_position) for s in network.sites_named(edit.site)
                )
    found: dict[tuple[str, Site, bool], Tensor] = {}
    for name, wanted in asked.items():
        if name in experiment.varying():
            raise ExperimentError(
                f"the mean over {name!r} would change with every variant of the sweep: take it over an input."
            )
        known = {(site, each): (_given.get() or {}).get((name, str(site), each)) for site, each in wanted}
        missing = {place for place, mean in known.items() if mean is None}
        made = _means(network, experiment, prompts, name, missing, tally or Tally()) if missing else {}
        for place, mean in known.items():
            found[name, *place] = made[place] if mean is None else mean
    return found


def _means(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    name: str,
    wanted: set[tuple[Site, bool]],
    tally: Tally,
) -> dict[tuple[Site, bool], Tensor]:
    order = topological([name], experiment.sources)
    runs = {n: experiment.run(n) for n in order}
    if any(isinstance(e, Mean) for r in runs.values() for e in r.edits):
        raise ExperimentError(f"the mean over {name!r} needs another mean first: take it over an input.")
    needed = needed_sites(network, experiment.model_copy(update={"metrics": ()}), [runs])
    needed.setdefault(name, set()).update(site for site, _ in wanted)
    sums: dict[tuple[Site, bool], Tensor] = {}
    counts: dict[tuple[Site, bool], int] = {}
    for rows in groups(prompts, list(dict.fromkeys(run.input for run in runs.values()))):
        runner = Runner(network, experiment, prompts, rows, wanted=needed, tally=tally)
        for n in order:
            runner.make(n, runs[n])
        for site, per_position in wanted:
            total, count = _total(runner.kept[name].sites[site], site, per_position)
            key = (site, per_position)
            if key in sums and sums[key].shape != total.shape:
                raise ExperimentError(f"the mean over {name!r} per position needs prompts of one length; these differ.")
            sums[key] = sums[key] + total if key in sums else total
            counts[key] = counts.get(key, 0) + count
    return {key: total / counts[key] for key, total in sums.items()}


def _total(value: Tensor, site: Site, per_position: bool) -> tuple[Tensor, int]:
    axis = position_axis(site.axes)
    total = value.double().sum(0, keepdim=True)
    if per_position or axis is None:
        return total, value.shape[0]
    return total.sum(axis, keepdim=True), value.shape[0] * value.shape[axis]
