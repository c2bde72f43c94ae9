"""A schedule carried out: for each group of examples the unchanged passes, then variants in batches of rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from torch import Tensor

from assay.core.errors import ExperimentError
from assay.core.provenance import Cost, Estimate
from assay.engine import naive
from assay.engine.memory import ran_out
from assay.engine.rows import own_rows
from assay.engine.run_result import captured
from assay.engine.runner import Runner
from assay.engine.schedule.base import Base, inside_attention
from assay.engine.schedule.batch import Made, RowRun, VariantSources
from assay.engine.schedule.departures import Departure
from assay.engine.schedule.joint import base_passes
from assay.engine.schedule.outline import PassPlan, summed
from assay.engine.schedule.plan import Plan
from assay.engine.schedule.reading import measured, spread
from assay.engine.schedule.values import Values
from assay.engine.source_means import source_means
from assay.engine.store.journal import Group
from assay.engine.table import Table
from assay.engine.tally import Tally
from assay.experiments.captures import Capture
from assay.models.structure import Site


@dataclass
class Execution:
    """A plan under way, and what it took so far."""

    plan: Plan
    tally: Tally = field(default_factory=Tally)
    token_layers: int = 0
    flops: float = 0.0
    passes: list[PassPlan] = field(default_factory=list)
    """Every pass as it was planned, just before it was made."""
    halved: int = 0
    """How often memory ran out, and a batch was halved."""

    @cached_property
    def means(self) -> Mapping[tuple[str, Site, bool], Tensor]:
        """Means that edits take, over all examples."""
        return source_means(self.plan.network, self.plan.experiment, self.plan.prompts, self.plan.every, self.tally)

    @property
    def engine(self) -> str:
        """What is recorded of the engine."""
        how = (
            "from the first position that differs" if self.plan.whole is None else f"all positions ({self.plan.whole})"
        )
        return f"scheduled, variants as rows from the first block that differs, {how}"

    @property
    def estimate(self) -> Estimate:
        """What was planned of all groups so far."""
        work = summed(self.passes)
        tokens = sum(p.token_layers for p in self.passes)
        return Estimate(token_layers=tokens, flops=work.flops, seconds=work.seconds, peak_bytes=work.bytes)

    def cost(self, started: float) -> Cost:
        """What was computed so far."""
        tally, plan = self.tally, self.plan
        return Cost(
            passes=tally.passes,
            rows=tally.rows,
            token_layers=tally.token_layers(len(plan.chain)) + self.token_layers,
            seconds=time.perf_counter() - started,
            flops=self.flops + plan.costs.tallied(tally),
        )

    def group(self, group: Group, rows: list[int], table: Table) -> Iterator[int]:
        """What is left to do for a group of examples; yields how many variants are done."""
        plan = self.plan
        if group.finished:
            yield len(group.finished)
        if group.complete:
            return
        runner = Runner(
            plan.network, plan.experiment, plan.prompts, rows, self.means, plan.kept, self.tally, reads=plan.reads
        )
        bases = self._bases(runner)
        for name in plan.fixed:
            run = plan.experiment.run(name)
            if name in plan.plain():
                runner.kept[name] = bases[run.input].kept
            else:
                runner.make(name, run)
                self.passes.append(plan.fixed_pass(name, runner))
        if not group.fixed:
            naive.record(table, runner, {name: plan.experiment.run(name) for name in plan.fixed}, ())
            group.commit(fixed=True)
        flat = self._flat(bases[plan.experiment.run(name).input] for name in plan.varying)
        unchanged = self._unchanged(runner, bases)
        departures = plan.departures(runner, {name: base.inputs for name, base in bases.items()}, bases, flat=flat)
        batches = list(plan.batches(departures, runner, but=group.finished))
        self.passes += plan.planned(batches, departures, runner, flat=flat)
        while batches:
            chunk = batches.pop(0)
            try:
                made = self._make(chunk, departures, runner, bases, flat=flat)
            except RuntimeError as error:
                if not ran_out(error):
                    raise
                if len(chunk) == 1:
                    raise ExperimentError(
                        f"not even one variant for {len(rows)} examples fits into memory: give batch={max(1, len(rows) // 2)} "
                        "for fewer examples in one pass."
                    ) from error
                self.halved += 1
                batches[:0] = [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]
                continue
            for name in plan.varying:
                self.token_layers += made[name].token_layers
                self.flops += made[name].flops
                self._record(name, chunk, runner, made[name], unchanged, table)
            group.commit(chunk)
            yield len(group.finished)

    def _make(
        self,
        chunk: Sequence[int],
        departures: Mapping[str, Sequence[Departure]],
        runner: Runner,
        bases: Mapping[str, Base],
        *,
        flat: bool,
    ) -> dict[str, Made]:
        made: dict[str, Made] = {}
        for name in self.plan.varying:
            variants = self._row_run(name, runner, bases, made, flat=flat)
            made[name] = variants.make([self.plan.placed[name][v] for v in chunk], [departures[name][v] for v in chunk])
        return made

    def _row_run(
        self, name: str, runner: Runner, bases: Mapping[str, Base], made: Mapping[str, Made], *, flat: bool
    ) -> RowRun:
        run = self.plan.experiment.run(name)
        return RowRun(
            runner,
            self.plan.chain,
            bases[run.input],
            run,
            flat,
            frozenset(self.plan.needed.get(name, ())),
            self.plan.metrics(name),
            partial(VariantSources, runner, made),
            frozenset(self.plan.fixed),
            self.plan.costs,
            self.plan.layout.padded,
            "attention" not in self.plan.without,
            "early" not in self.plan.without,
        )

    def _flat(self, bases: Iterable[Base]) -> bool:
        """Whether variants can leave out the positions before their first change."""
        there = list(bases)
        if self.plan.flat and any(base.repeated or not base.past for base in there):
            self.plan.whole = "a block has no attention of its own, or more than one"
        if self.plan.flat and not all(base.causal for base in there):
            self.plan.whole = "queries see keys after them"
        return self.plan.flat

    def _bases(self, runner: Runner) -> dict[str, Base]:
        """The unchanged pass of every input whose runs vary, and of those that a run without edits reads."""
        given, sites = self.plan.given(runner.rows), self.plan.base_keep()
        read = self.plan.read(runner)
        for name in given:
            mine = own_rows(self.plan.prompts[name], runner.rows)
            tokens = self.plan.prompts[name].lengths[mine[0]]
            self.tally.plain(len(mine), tokens)
            self.tally.logits(
                read if read is None else read[name],
                tokens=len(mine) * tokens,
                share=runner.reads.share(runner.network),
            )
        eager = inside_attention((*self.plan.touched(), *(site for found in sites.values() for site in found)))
        shared = self.plan.sharing(runner.rows)
        self.tally.passes += len(shared)
        self.passes += self.plan.unchanged(runner)
        return base_passes(
            self.plan.network, self.plan.chain, given, sites, shared, eager=eager, read=read, tokens=self.plan.tokens
        )

    def _unchanged(self, runner: Runner, bases: Mapping[str, Base]) -> dict[tuple[str, int], Tensor]:
        """Every metric of the runs that vary, on the unchanged pass: what holds where nothing departs."""
        found = {}
        for name in self.plan.varying:
            run = self.plan.experiment.run(name)
            runner.kept[name] = bases[run.input].kept
            for number, metric in enumerate(self.plan.metrics(name)):
                found[name, number] = runner.measure(metric, name, run)
        return found

    def _record(
        self,
        name: str,
        chunk: Sequence[int],
        runner: Runner,
        made: Made,
        unchanged: Mapping[tuple[str, int], Tensor],
        table: Table,
    ) -> None:
        run, values = self.plan.experiment.run(name), made.values
        for number, metric in enumerate(self.plan.metrics(name)):
            base = unchanged[name, number]
            numbers = base.expand(len(chunk), *base.shape)
            if len(values.rows.sequences):
                numbers = spread(measured(metric, values, runner, run), base, len(chunk), values)
            for place, v in enumerate(chunk):
                table.metric(metric.name or metric.kind, self.plan.variants[v].index, runner.rows, numbers[place])
        if not run.captures:
            return
        for place, v in enumerate(chunk):
            found = captured(self.plan.network, run, runner.scope(run), partial(_whole, values, place))
            table.captures(name, self.plan.variants[v].index, runner.rows, found)


def _whole(values: Values, variant: int, capture: Capture, site: Site) -> Tensor:
    return values.whole(variant, site)
