"""The naive engine: every variant of a sweep as plain forward passes of its own. The reference, forever.

Cost: (variants × varying runs + fixed runs) × groups of examples of equal length forward passes; one pass handles all
examples of a group as rows of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from assay.core.progress import report
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.engine.costs import Costs
from assay.engine.prepare import checked, prompts_of
from assay.engine.reads import Reads
from assay.engine.rows import batch_size, groups
from assay.engine.run_result import kept_by_captures
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.source_means import source_means
from assay.engine.store.journal import Group, Journal
from assay.engine.store.through import AnyStore, through
from assay.engine.table import Table
from assay.engine.tally import Tally
from assay.experiments.expand import Variant, axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site

ENGINE = "naive, one plain forward pass for each variant"


def measure(
    network: Network, experiment: Experiment, *, batch: int | None = None, store: AnyStore | None = None
) -> Result:
    """Run an experiment and label its numbers. `batch` is the most examples in one pass (None: a whole group).

    With a `store`, what is there is read, and what is not is kept there as it is finished.
    """
    return through(
        store,
        network,
        experiment,
        engine="naive",
        make=lambda journal: compute(network, experiment, batch=batch, journal=journal),
    )


def compute(
    network: Network,
    experiment: Experiment,
    *,
    batch: int | None,
    journal: Journal,
    reads: Callable[[], Reads] = Reads,
) -> Result:
    """Make what the journal does not have, and tell it what is finished.

    `reads` tells what of their output passes must compute; it may have to try that on the model, so it is asked when all
    else was found right.
    """
    started = time.perf_counter()
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    facts = NetworkFacts(network, prompts)
    variants = list(expand(experiment, facts))
    tally = Tally()
    plan = _plan(network, experiment, prompts, variants, batch, tally)
    read = reads()
    table = Table(experiment, axes(experiment, facts))
    spent = partial(_cost, network, tally, started)
    journal.open(table, [variant.index for variant in variants], plan.groups, spent=spent)
    for number, rows in enumerate(plan.groups):
        group = journal.group(rows)
        for done in _group(
            plan, table, Runner(network, experiment, prompts, rows, plan.means, plan.needed, tally, reads=read), group
        ):
            report(number * len(variants) + done, len(plan.groups) * len(variants))
    return Result(table.dataset(), provenance(network, experiment, prompts), spent())


def _group(plan: _Plan, table: Table, runner: Runner, group: Group) -> Iterator[int]:
    """What is left to do for one group of examples; yields how many variants are done."""
    if group.finished:
        yield len(group.finished)
    if group.complete:
        return
    fixed = {name: plan.experiment.run(name) for name in plan.fixed}
    for name, run in fixed.items():
        runner.make(name, run)
    if not group.fixed:
        record(table, runner, fixed, ())
        group.commit(fixed=True)
    for number, variant in enumerate(plan.variants):
        if number in group.finished:
            continue
        runs = plan.runs(variant)
        for name in plan.varying:
            runner.make(name, runs[name])
        record(table, runner, runs, variant.index)
        group.commit([number])
        yield len(group.finished)


def _cost(network: Network, tally: Tally, started: float) -> Cost:
    """What was computed so far."""
    depth = max(network.structure.depth.values(), default=0)
    return Cost(
        passes=tally.passes,
        rows=tally.rows,
        token_layers=tally.token_layers(depth),
        seconds=time.perf_counter() - started,
        backward_passes=tally.backward,
        flops=Costs(network, network.structure.main_chain).tallied(tally),
    )


@dataclass(frozen=True)
class _Plan:
    experiment: Experiment
    variants: Sequence[Variant]
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
        variants,
        groups(prompts, used, at_most=batch_size(experiment, batch)),
        source_means(network, experiment, prompts, every, tally),
        needed_sites(network, experiment, every),
        tuple(name for name in order if name not in varying),
        tuple(name for name in order if name in varying),
    )


def provenance(
    network: Network, experiment: Experiment, prompts: Mapping[str, Prompts], engine: str = ENGINE
) -> Provenance:
    """Where a result comes from."""
    facts = [*network.facts, *(f"{name}: {fact}" for name, p in prompts.items() for fact in p.facts)]
    facts.append(f"engine: {engine}")
    if experiment.local_only:
        facts.append("holds Python functions: cannot be replayed from data")
    return Provenance.now(
        model_fingerprint=network.fingerprint,
        model_source=network.source.name,
        experiment_hash=None if experiment.local_only else experiment.hash,
        facts=tuple(facts),
    )


def record(table: Table, runner: Runner, runs: Mapping[str, Run], index: tuple[int, ...]) -> None:
    """Metrics and captures of runs that were made."""
    for metric in runner.experiment.metrics:
        name = metric.run or runner.experiment.main
        if name in runs:
            table.metric(metric.name or metric.kind, index, runner.rows, runner.measure(metric, name, runs[name]))
    for name, run in runs.items():
        table.captures(name, index, runner.rows, kept_by_captures(runner.network, run, runner, name))
