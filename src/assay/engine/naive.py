"""The naive engine: every variant of a sweep as plain forward passes of its own. The reference, forever.

Cost: (variants × varying runs + fixed runs) × groups of examples of equal length forward passes; one pass handles all
examples of a group as rows of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from torch import Tensor

from assay.core.progress import report
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import groups, merge
from assay.engine.run_result import kept_by_captures
from assay.engine.runner import Runner, Tally, executed, needed_sites
from assay.engine.select import position_axis
from assay.engine.source_means import source_means
from assay.experiments.expand import Variant, axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


def measure(network: Network, experiment: Experiment, *, batch: int | None = None) -> Result:
    """Run an experiment and label its numbers. `batch` is the most examples in one pass (None: a whole group)."""
    started = time.perf_counter()
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    facts = NetworkFacts(network, prompts)
    variants = list(expand(experiment, facts))
    tally = Tally()
    plan = _plan(network, experiment, prompts, variants, batch, tally)
    table = _Table(experiment, axes(experiment, facts), prompts)
    total, done = len(variants) * len(plan.groups), 0
    for rows in plan.groups:
        runner = Runner(network, experiment, prompts, rows, plan.means, plan.needed, tally)
        for name in plan.fixed:
            runner.make(name, experiment.run(name))
        table.fixed(runner)
        for variant in variants:
            runs = plan.runs(variant)
            for name in plan.varying:
                runner.make(name, runs[name])
            table.add(variant, runner, runs)
            done += 1
            report(done, total)
    depth = max(network.structure.depth.values(), default=0)
    cost = Cost(
        passes=tally.passes, rows=tally.rows, token_layers=tally.tokens * depth, seconds=time.perf_counter() - started
    )
    return Result(table.dataset(), provenance(network, experiment, prompts), cost)


@dataclass(frozen=True)
class _Plan:
    experiment: Experiment
    groups: list[list[int]]
    means: Mapping[tuple[str, Site, bool], Tensor]
    needed: Mapping[str, set[Site]]
    fixed: tuple[str, ...]
    varying: tuple[str, ...]

    def runs(self, variant: Variant) -> dict[str, Run]:
        """All varying runs of a variant."""
        return {name: variant.runs.get(name) or self.experiment.run(name) for name in self.varying}


def _plan(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    variants: Sequence[Variant],
    batch: int | None,
    tally: Tally,
) -> _Plan:
    order, varying = executed(experiment), experiment.varying()
    every = [{name: v.runs.get(name) or experiment.run(name) for name in order} for v in variants]
    used = list(dict.fromkeys(experiment.run(name).input for name in order))
    return _Plan(
        experiment,
        groups(prompts, used, at_most=batch),
        source_means(network, experiment, prompts, every, tally),
        needed_sites(network, experiment, every),
        tuple(name for name in order if name not in varying),
        tuple(name for name in order if name in varying),
    )


def provenance(network: Network, experiment: Experiment, prompts: Mapping[str, Prompts]) -> Provenance:
    """Where a result comes from."""
    facts = [*network.source.facts, *(f"{name}: {fact}" for name, p in prompts.items() for fact in p.facts)]
    facts.append("engine: naive, one plain forward pass for each variant")
    if experiment.local_only:
        facts.append("holds Python functions: cannot be replayed from data")
    return Provenance.now(
        model_fingerprint=network.fingerprint,
        model_source=network.source.name,
        experiment_hash=None if experiment.local_only else experiment.hash,
        facts=tuple(facts),
    )


class _Table:
    """Numbers by variable and place, filled in as they come."""

    def __init__(
        self, experiment: Experiment, along: Mapping[str, list[int | float | str]], prompts: Mapping[str, Prompts]
    ) -> None:
        self.experiment, self.along, self.prompts = experiment, along, prompts
        self.parts: dict[str, dict[tuple[int, ...], list[tuple[Sequence[int], Tensor]]]] = {}
        self.dims: dict[str, tuple[str, ...]] = {}

    def fixed(self, runner: Runner) -> None:
        """Metrics of runs that do not vary."""
        for metric in self.experiment.metrics:
            name = metric.run or self.experiment.main
            if name not in self.experiment.varying():
                values = runner.measure(metric, name, self.experiment.run(name))
                self._store(metric.name or metric.kind, (), runner.rows, values, ("example", "pos", "head"))
        self._captures(runner, {n: self.experiment.run(n) for n in runner.kept}, ())

    def add(self, variant: Variant, runner: Runner, runs: Mapping[str, Run]) -> None:
        """Metrics and captures of one variant."""
        for metric in self.experiment.metrics:
            name = metric.run or self.experiment.main
            if name in runs:
                values = runner.measure(metric, name, runs[name])
                self._store(metric.name or metric.kind, variant.index, runner.rows, values, ("example", "pos", "head"))
        self._captures(runner, runs, variant.index)

    def _captures(self, runner: Runner, runs: Mapping[str, Run], index: tuple[int, ...]) -> None:
        for name, run in runs.items():
            for label, site, tensor in kept_by_captures(runner.network, run, runner, name):
                inner = tuple(
                    "position" if a in ("pos", "query") else f"{a}_" if a in self.along else a for a in site.axes[1:]
                )
                label = label if name == self.experiment.main else f"{name}.{label}"
                self._store(label, index, runner.rows, tensor, ("example", *inner), ragged=position_axis(site.axes))

    def _store(
        self,
        label: str,
        index: tuple[int, ...],
        rows: Sequence[int],
        values: Tensor,
        dims: tuple[str, ...],
        ragged: int | None = None,
    ) -> None:
        inner = tuple(f"{d}_" if d in self.along and d != "example" else d for d in dims[: values.ndim])
        self.dims[label] = ((*self.along, *inner) if index else inner) if self.along else inner
        self.parts.setdefault(label, {}).setdefault(index, []).append((rows, values.detach().cpu()))

    def dataset(self) -> xarray.Dataset:
        """All variables with their coordinates and reductions over examples done as the metrics ask."""
        reductions = {m.name or m.kind: m.reduce_examples for m in self.experiment.metrics}
        variables = {label: self._variable(label, reductions.get(label, "none")) for label in self.parts}
        used = {d for v in variables.values() for d in v.dims}
        return xarray.Dataset(variables, coords={name: values for name, values in self.along.items() if name in used})

    def _variable(self, label: str, reduce: str) -> xarray.Variable:
        cells = self.parts[label]
        merged = {
            i: merge(parts, ragged=tuple(range(1, parts[0][1].ndim))).double().numpy() for i, parts in cells.items()
        }
        dims = self.dims[label]
        sizes = tuple(len(v) for v in self.along.values()) if () not in merged else ()
        inner = tuple(max(a.shape[k] for a in merged.values()) for k in range(next(iter(merged.values())).ndim))
        whole = np.full(sizes + inner, np.nan)
        for index, array in merged.items():
            cell = whole[index] if index else whole
            cell[tuple(slice(0, n) for n in array.shape)] = array
        return _reduced(whole, dims, reduce, single=self._single(label))

    def _single(self, label: str) -> bool:
        main = self.experiment.run(self.experiment.main).input
        metric = next((m for m in self.experiment.metrics if (m.name or m.kind) == label), None)
        name = main if metric is None or metric.run is None else self.experiment.run(metric.run).input
        return self.experiment.inputs[name].single


def _reduced(whole: np.ndarray[Any, Any], dims: tuple[str, ...], reduce: str, *, single: bool) -> xarray.Variable:
    axis = dims.index("example")
    left = tuple(d for d in dims if d != "example")
    if single:
        return xarray.Variable(left, whole.take(0, axis))
    if reduce == "none":
        return xarray.Variable(dims, whole)
    return xarray.Variable(left, getattr(np, f"nan{reduce}")(whole, axis=axis))
