"""The scheduled engine: every variant from where it departs, many in one pass.

Cost in token-layers: one plain pass for each run that does not vary and for each input of those that do; then, for each
variant and example, (positions from the first that differs) × (blocks from the first that differs). The naive engine's is
(all positions) × (all blocks) for each.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from assay.core.errors import ExperimentError, nearest
from assay.core.progress import listening, report
from assay.core.result import Result
from assay.engine import naive
from assay.engine.costs import Costs
from assay.engine.ends import unread
from assay.engine.few_logits import named_tokens
from assay.engine.hooks import why_tapped
from assay.engine.memory import Peak, budget
from assay.engine.prepare import checked, prompts_of
from assay.engine.reads import Reads
from assay.engine.rows import batch_size, groups
from assay.engine.runner import executed
from assay.engine.schedule.execution import Execution
from assay.engine.schedule.fitness import Fitness, fitness, why_uncounted
from assay.engine.schedule.meeting import CannotMeetError
from assay.engine.schedule.plan import Plan
from assay.engine.schedule.proof import Proof, proof
from assay.engine.schedule.rewrites import at_z
from assay.engine.schedule.unembedding import reader, why_all
from assay.engine.store.journal import Journal
from assay.engine.store.through import AnyStore, through
from assay.engine.table import Table
from assay.engine.tried import Tried
from assay.experiments.expand import Variant, axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts

OPTIONS = ("depth", "position", "noop", "stagger", "together", "head_out", "unembed", "vocab", "early", "attention")
"""Optimisations that can be switched off by name."""


@dataclass(frozen=True)
class Asked:
    """How a schedule is to be made. `without` names optimisations to switch off, `memory` is a budget."""

    batch: int | None = None
    without: frozenset[str] = frozenset()
    memory: str | float | None = None

    @classmethod
    def of(cls, batch: int | None = None, without: Collection[str] = (), memory: str | float | None = None) -> Asked:
        """Checked: every name in `without` is in `OPTIONS`."""
        unknown = [name for name in without if name not in OPTIONS]
        if unknown:
            raise ExperimentError(
                f"{unknown[0]!r} is no optimisation of the schedule: expected {', '.join(OPTIONS)}."
                f"{nearest(unknown[0], OPTIONS)}"
            )
        return cls(batch, frozenset(without), memory)


def measure(
    network: Network,
    experiment: Experiment,
    *,
    batch: int | None = None,
    without: Collection[str] = (),
    memory: str | float | None = None,
    store: AnyStore | None = None,
) -> Result:
    """Run an experiment on the schedule; by the naive engine, with the reason recorded, where the schedule can't.

    `without` names optimisations to switch off, among `OPTIONS`. `memory` is what batches of variants may take: a size
    (`"4GiB"`) or a fraction of what is free (half of it if nothing is said); when memory runs out all the same, the
    batch is halved, and the result says so.
    """
    asked = Asked.of(batch, without, memory)
    make = partial(_made, network, experiment, asked)
    return through(store, network, experiment, engine="scheduled", make=make)


def _made(network: Network, experiment: Experiment, asked: Asked, journal: Journal) -> Result:
    if not any(name in experiment.varying() for name in executed(experiment)):
        return naive.compute(
            network,
            experiment,
            batch=asked.batch,
            journal=journal,
            reads=partial(reads, network, experiment, without=asked.without),
        )
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    planned = prepare(network, experiment, prompts, asked)
    refused = planned
    if not isinstance(planned, str):
        try:
            return _scheduled(planned, asked, journal)
        except CannotMeetError as error:
            refused = str(error)
    made = naive.compute(network, experiment, batch=asked.batch, journal=journal)
    fact = f"the schedule could not be used: {refused}"
    return Result(made.data, made.provenance.with_facts(fact), made.cost)


def reads(network: Network, experiment: Experiment, *, without: Collection[str] = ()) -> Reads:
    """What is computed of the output of runs without a sweep."""
    if (why_tapped(network) or why_all(network, experiment)) is not None:
        return Reads()
    nobody = frozenset[str]() if "early" in without else unread(experiment)
    if nobody.issuperset(executed(experiment)):
        return Reads(unread=nobody)
    positions, tokens = None, "vocab" not in without and named_tokens(network, experiment)
    if "unembed" not in without:
        layout = proven(network, True)
        rows = layout.refused is None and layout.flat and not layout.padded
        positions = reader(experiment) if rows else None
    return Reads(positions, tokens if isinstance(tokens, Tensor) else None, nobody)


def prepare(network: Network, experiment: Experiment, prompts: Mapping[str, Prompts], asked: Asked) -> Plan | str:
    """The plan of an experiment that was checked, or why there is none."""
    if (why := why_tapped(network)) is not None:
        return why
    case = _Case.of(network, experiment, prompts, rewrite="head_out" not in asked.without)
    fit = fitness(network, experiment, case.filled)
    if (why := fit.refused or why_uncounted(prompts)) is not None:
        return why
    found = proven(network, fit.whole is None and "position" not in asked.without)
    if found.refused is not None:
        return found.refused
    plan = _plan(case, fit, found, asked)
    plan.whole = "switched off" if "position" in asked.without else fit.whole or found.why_whole
    return plan


def _plan(case: _Case, fit: Fitness, layout: Proof, asked: Asked) -> Plan:
    return Plan(
        case.network,
        case.experiment,
        case.prompts,
        case.variants,
        case.filled,
        case.varying,
        fit,
        layout,
        asked.without,
        Costs.here(case.network, fit.chain),
        budget(asked.memory, case.network.device),
    )


_PROOFS = Tried[Proof]()


def proven(network: Network, flat: bool) -> Proof:
    """In which layout the schedule holds on this model, tried when first asked for; `flat`: rows of positions are allowed."""
    return _PROOFS.of(network, lambda: proof(network, _naively, _tried, try_flat=flat), about=flat)


def _naively(network: Network, experiment: Experiment) -> Result:
    with listening(None):
        return naive.measure(network, experiment)


def _tried(network: Network, experiment: Experiment, layout: Proof) -> tuple[Result, str | None]:
    asked = Asked.of(without=("stagger",))
    case = _Case.of(network, experiment, prompts_of(network, experiment), rewrite=False)
    plan = _plan(case, Fitness(network.structure.main_chain), layout, asked)
    plan.whole = None if layout.flat else "tried so"
    with listening(None):
        return _scheduled(plan, asked, Journal()), plan.whole


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
            filled = [at_z(runs, network, experiment) for runs in filled]
        return cls(network, experiment, prompts, variants, filled, varying)


def split_of(plan: Plan, asked: Asked) -> list[list[int]]:
    """Examples that go together in a plan."""
    return groups_of(plan.experiment, plan.prompts, asked)


def groups_of(experiment: Experiment, prompts: Mapping[str, Prompts], asked: Asked) -> list[list[int]]:
    """Examples that go together."""
    used = list(dict.fromkeys(experiment.run(name).input for name in executed(experiment)))
    return groups(prompts, used, at_most=batch_size(experiment, asked.batch))


def _scheduled(plan: Plan, asked: Asked, journal: Journal) -> Result:
    started = time.perf_counter()
    network, experiment, prompts = plan.network, plan.experiment, plan.prompts
    execution = Execution(plan)
    table = Table(experiment, axes(experiment, NetworkFacts(network, prompts)))
    split = split_of(plan, asked)
    with Peak(network.device) as peak:
        journal.open(table, [v.index for v in plan.variants], split, spent=partial(execution.cost, started))
        for number, rows in enumerate(split):
            for done in execution.group(journal.group(rows), rows, table):
                report(number * len(plan.variants) + done, len(split) * len(plan.variants))
    cost = execution.cost(started).model_copy(update={"peak_bytes": peak.bytes, "estimate": execution.estimate})
    facts = [f"memory ran out {execution.halved} times: the batch was halved"] if execution.halved else []
    provenance = naive.provenance(network, experiment, prompts, execution.engine).with_facts(*facts)
    return Result(table.dataset(), provenance, cost)
