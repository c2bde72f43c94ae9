"""The scheduled engine: every variant from where it departs, many in one pass.

Cost in token-layers: one plain pass for each run that does not vary and for each input of those that do; then, for each
variant and example, (positions from the first that differs) × (blocks from the first that differs). The naive engine's is
(all positions) × (all blocks) for each.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn

from assay.core.errors import ExperimentError, nearest
from assay.core.progress import listening, report
from assay.core.provenance import Cost
from assay.core.result import Result
from assay.engine import naive
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import batch_size, groups
from assay.engine.runner import executed
from assay.engine.schedule.fitness import Fitness, fitness, main_chain
from assay.engine.schedule.meeting import CannotMeetError
from assay.engine.schedule.plan import Plan
from assay.engine.schedule.proof import Proof, proof
from assay.engine.schedule.rewrites import at_z
from assay.engine.table import Table
from assay.experiments.expand import Variant, axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts

OPTIONS = ("depth", "position", "noop", "stagger", "together", "head_out")
"""Optimisations that can be switched off by name."""


def measure(
    network: Network, experiment: Experiment, *, batch: int | None = None, without: Collection[str] = ()
) -> Result:
    """Run an experiment on the schedule; by the naive engine, with the reason recorded, where the schedule can't.

    `without` names optimisations to switch off, among `OPTIONS`.
    """
    unknown = [name for name in without if name not in OPTIONS]
    if unknown:
        raise ExperimentError(
            f"{unknown[0]!r} is no optimisation of the schedule: expected {', '.join(OPTIONS)}.{nearest(unknown[0], OPTIONS)}"
        )
    if not any(name in experiment.varying() for name in executed(experiment)):
        return naive.measure(network, experiment, batch=batch)
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    case = _Case.of(network, experiment, prompts, rewrite="head_out" not in without)
    fit = fitness(network, experiment, case.filled)
    refused = fit.refused
    if refused is None:
        wanted_flat = fit.whole is None and "position" not in without
        found = _proven(network, wanted_flat)
        if found.refused is None:
            whole = "switched off" if "position" in without else fit.whole or found.why_whole
            try:
                return _scheduled(case, fit, found, batch=batch, without=frozenset(without), whole=whole)
            except CannotMeetError as error:
                refused = str(error)
        else:
            refused = found.refused
    made = naive.measure(network, experiment, batch=batch)
    fact = f"the schedule could not be used: {refused}"
    return Result(made.data, made.provenance.with_facts(fact), made.cost)


_PROOFS: WeakKeyDictionary[nn.Module, dict[bool, Proof]] = WeakKeyDictionary()


def _proven(network: Network, flat: bool) -> Proof:
    known = _PROOFS.setdefault(network.native, {})
    if flat not in known:
        known[flat] = proof(network, _naively, _tried, try_flat=flat)
    return known[flat]


def _naively(network: Network, experiment: Experiment) -> Result:
    with listening(None):
        return naive.measure(network, experiment)


def _tried(network: Network, experiment: Experiment, layout: Proof) -> Result:
    case = _Case.of(network, experiment, prompts_of(network, experiment), rewrite=False)
    whole = None if layout.flat else "tried so"
    with listening(None):
        return _scheduled(
            case, Fitness(main_chain(network)), layout, batch=None, without=frozenset({"stagger"}), whole=whole
        )


@dataclass(frozen=True)
class _Case:
    """An experiment made ready for a model."""

    network: Network
    experiment: Experiment
    prompts: Mapping[str, Prompts]
    variants: Sequence[Variant]
    filled: Sequence[Mapping[str, Run]]
    """The runs that vary, of each variant."""
    varying: tuple[str, ...]

    @classmethod
    def of(cls, network: Network, experiment: Experiment, prompts: Mapping[str, Prompts], *, rewrite: bool) -> _Case:
        variants = list(expand(experiment, NetworkFacts(network, prompts)))
        varying = tuple(name for name in executed(experiment) if name in experiment.varying())
        filled = [{name: v.runs.get(name) or experiment.run(name) for name in varying} for v in variants]
        if rewrite:
            filled = [at_z(runs, network) for runs in filled]
        return cls(network, experiment, prompts, variants, filled, varying)


def _scheduled(
    case: _Case, fit: Fitness, layout: Proof, *, batch: int | None, without: frozenset[str], whole: str | None
) -> Result:
    started = time.perf_counter()
    network, experiment, prompts = case.network, case.experiment, case.prompts
    plan = Plan(network, experiment, prompts, case.variants, case.filled, case.varying, fit, layout, without)
    plan.whole = whole
    table = Table(experiment, axes(experiment, NetworkFacts(network, prompts)))
    used = list(dict.fromkeys(experiment.run(name).input for name in executed(experiment)))
    split = groups(prompts, used, at_most=batch_size(experiment, batch))
    total, done = len(case.variants) * len(split), 0
    for rows in split:
        for count in plan.group(rows, table):
            done += count
            report(done, total)
    tally = plan.tally
    cost = Cost(
        passes=tally.passes,
        rows=tally.rows,
        token_layers=tally.tokens * len(plan.chain) + plan.token_layers,
        seconds=time.perf_counter() - started,
    )
    return Result(table.dataset(), naive.provenance(network, experiment, prompts, plan.engine), cost)
