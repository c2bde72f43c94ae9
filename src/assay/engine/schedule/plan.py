"""The schedule of an experiment: for each group of examples the unchanged passes, then variants in batches of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from assay.engine import naive
from assay.engine.rows import own_rows
from assay.engine.run_result import captured
from assay.engine.runner import Runner, Tally, executed, needed_sites
from assay.engine.schedule.base import Base, inside_attention
from assay.engine.schedule.batch import Made, RowRun, VariantSources
from assay.engine.schedule.departures import Departure, Departures, Placed, comparable, moved_up
from assay.engine.schedule.fitness import Fitness
from assay.engine.schedule.joint import base_passes
from assay.engine.schedule.proof import Proof
from assay.engine.schedule.reading import measured, spread
from assay.engine.schedule.values import Values
from assay.engine.source_means import source_means
from assay.engine.table import Table
from assay.experiments.captures import Capture, GradCapture
from assay.experiments.expand import Variant
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site

ROWS_AT_ONCE = 2048
"""Rows (positions of variants) of one pass at most, unless a single variant has more."""


@dataclass
class Plan:
    """How the runs that vary are made. `whole` says why positions before the first change are computed again."""

    network: Network
    experiment: Experiment
    prompts: Mapping[str, Prompts]
    variants: Sequence[Variant]
    filled: Sequence[Mapping[str, Run]]
    varying: tuple[str, ...]
    fit: Fitness
    layout: Proof
    without: frozenset[str]
    tally: Tally = field(default_factory=Tally)
    token_layers: int = 0
    whole: str | None = None

    def __post_init__(self) -> None:
        order = executed(self.experiment)
        every = [{n: f.get(n) or self.experiment.run(n) for n in order} for f in self.filled]
        self.needed = needed_sites(self.network, self.experiment, every)
        self.means = source_means(self.network, self.experiment, self.prompts, every, self.tally)
        self.fixed = tuple(name for name in order if name not in self.varying)
        self.placed = {name: [self._placed(f[name], name) for f in self.filled] for name in self.varying}
        self.kept, self.base_sites = self._sites()

    @property
    def engine(self) -> str:
        """What is recorded of the engine."""
        how = "from the first position that differs" if self.whole is None else f"all positions ({self.whole})"
        return f"scheduled, variants as rows from the first block that differs, {how}"

    def _placed(self, run: Run, name: str) -> list[Placed]:
        placed: list[Placed] = [(edit, site) for edit in run.edits for site in self.network.sites_named(edit.site)]
        if "depth" in self.without or self.fit.chain is None:
            return placed
        return moved_up(
            placed, self.network, self.fit.chain, frozenset(self.needed.get(name, ())), frozenset(self.fixed)
        )

    def _sites(self) -> tuple[dict[str, set[Site]], dict[str, set[Site]]]:
        """The sites to keep of every fixed run, and of every input's unchanged pass."""
        kept = {name: set(sites) for name, sites in self.needed.items()}
        bases: dict[str, set[Site]] = {}
        for name in self.varying:
            sites = bases.setdefault(self.experiment.run(name).input, set())
            sites |= self.needed.get(name, set())
            for edit, site in (pair for placed in self.placed[name] for pair in placed):
                if edit.source_run is not None and comparable(edit):
                    kept.setdefault(edit.source_run, set()).add(site)
                    sites.add(site)
        return kept, bases

    def group(self, rows: list[int], table: Table) -> Iterator[int]:
        """All variants for a group of examples; yields how many are done."""
        runner = Runner(self.network, self.experiment, self.prompts, rows, self.means, self.kept, self.tally)
        bases = self._bases(runner)
        plain = self._plain()
        for name in self.fixed:
            run = self.experiment.run(name)
            if name in plain:
                runner.kept[name] = bases[run.input].kept
            else:
                runner.make(name, run)
        naive.record(table, runner, {name: self.experiment.run(name) for name in self.fixed}, ())
        flat = self._flat(bases[self.experiment.run(name).input] for name in self.varying)
        unchanged = self._unchanged(runner, bases)
        departures = {name: self._departures(name, runner, bases, flat=flat) for name in self.varying}
        for chunk in self._chunks(departures, runner, flat=flat):
            made: dict[str, Made] = {}
            for name in self.varying:
                variants = self._row_run(name, runner, bases, made, flat=flat)
                made[name] = variants.make([self.placed[name][v] for v in chunk], [departures[name][v] for v in chunk])
                self.token_layers += made[name].token_layers
                self._record(name, chunk, runner, made[name], unchanged, table)
            yield len(chunk)

    def _row_run(
        self, name: str, runner: Runner, bases: Mapping[str, Base], made: Mapping[str, Made], *, flat: bool
    ) -> RowRun:
        run = self.experiment.run(name)
        return RowRun(
            runner,
            self.chain,
            bases[run.input],
            run,
            flat,
            frozenset(self.needed.get(name, ())),
            self._metrics(name),
            partial(VariantSources, runner, made),
            frozenset(self.fixed),
            self.layout.padded,
        )

    @property
    def chain(self) -> Chain:
        """The chain that variants run through."""
        assert self.fit.chain is not None
        return self.fit.chain

    def _metrics(self, name: str) -> tuple[Metric, ...]:
        return tuple(m for m in self.experiment.metrics if (m.run or self.experiment.main) == name)

    def _flat(self, bases: Iterable[Base]) -> bool:
        """Whether variants can leave out the positions before their first change."""
        if self.whole is None and self.layout.padded and any(s.layer is None for s in self._all_sites()):
            self.whole = "this model puts its output into sequences again, and a site there is used"
        if self.whole is None and any(base.repeated or not base.past for base in bases):
            self.whole = "a block has no attention of its own, or more than one"
        if self.whole is None and not all(base.causal for base in bases):
            self.whole = "queries see keys after them"
        return self.whole is None

    def _all_sites(self) -> Iterator[Site]:
        for name in self.varying:
            yield from self.needed.get(name, ())
            yield from (site for placed in self.placed[name] for _, site in placed)

    def _bases(self, runner: Runner) -> dict[str, Base]:
        """The unchanged pass of every input whose runs vary, and of those that a run without edits reads."""
        varying = [self.experiment.run(name).input for name in self.varying]
        names = list(dict.fromkeys([*varying, *(self.experiment.run(name).input for name in self._plain())]))
        given = {}
        for name in names:
            prompts = self.prompts[name]
            mine = own_rows(prompts, runner.rows)
            given[name] = prompts.inputs(mine)
            self.tally.rows += len(mine)
            self.tally.tokens += len(mine) * prompts.lengths[mine[0]]
        sites = {name: set(self.base_sites.get(name, ())) for name in names}
        for run in self._plain():
            sites[self.experiment.run(run).input] |= self.kept.get(run, set())
        eager = inside_attention((*self._all_sites(), *(site for found in sites.values() for site in found)))
        together = self.whole is None and "together" not in self.without
        bases, passes = base_passes(self.network, self.chain, given, sites, eager=eager, together=together)
        self.tally.passes += passes
        return bases

    def _plain(self) -> list[str]:
        """Runs that do not vary and are the unchanged pass of their input."""
        runs = [(name, self.experiment.run(name)) for name in self.fixed]
        return [n for n, run in runs if not run.edits and not any(isinstance(c, GradCapture) for c in run.captures)]

    def _unchanged(self, runner: Runner, bases: Mapping[str, Base]) -> dict[tuple[str, int], Tensor]:
        """Every metric of the runs that vary, on the unchanged pass: what holds where nothing departs."""
        found = {}
        for name in self.varying:
            run = self.experiment.run(name)
            runner.kept[name] = bases[run.input].kept
            for number, metric in enumerate(self._metrics(name)):
                found[name, number] = runner.measure(metric, name, run)
        return found

    def _departures(self, name: str, runner: Runner, bases: Mapping[str, Base], *, flat: bool) -> list[Departure]:
        run = self.experiment.run(name)
        finder = Departures(
            self.network,
            self.chain,
            bases[run.input],
            runner.scope(run),
            runner,
            frozenset(self.fixed),
            {name: bases[self.experiment.run(name).input] for name in self._plain()},
            skip_equal="noop" not in self.without,
            by_position=flat,
            by_depth="depth" not in self.without,
        )
        return [finder.of(placed) for placed in self.placed[name]]

    def _chunks(
        self, departures: Mapping[str, Sequence[Departure]], runner: Runner, *, flat: bool
    ) -> Iterator[list[int]]:
        """Variants that go together, those that begin at the same block beside each other."""
        order = sorted(range(len(self.variants)), key=lambda v: min(d[v].layer for d in departures.values()))
        chunk: list[int] = []
        size, layer = 0, -1
        for v in order:
            rows = max(self._rows(name, d[v], runner) for name, d in departures.items())
            begins = min(d[v].layer for d in departures.values())
            full = size + rows > ROWS_AT_ONCE or ("stagger" in self.without and begins != layer)
            if chunk and full:
                yield chunk
                chunk, size = [], 0
            chunk.append(v)
            size, layer = size + rows, begins
        if chunk:
            yield chunk

    def _rows(self, name: str, departure: Departure, runner: Runner) -> int:
        length = runner.scope(self.experiment.run(name)).tokens
        return sum(length - first for first in departure.first if first is not None)

    def _record(
        self,
        name: str,
        chunk: Sequence[int],
        runner: Runner,
        made: Made,
        unchanged: Mapping[tuple[str, int], Tensor],
        table: Table,
    ) -> None:
        run, values = self.experiment.run(name), made.values
        for number, metric in enumerate(self._metrics(name)):
            base = unchanged[name, number]
            numbers = base.expand(len(chunk), *base.shape)
            if len(values.rows.sequences):
                numbers = spread(measured(metric, values, runner, run), base, len(chunk), values)
            for place, v in enumerate(chunk):
                table.metric(metric.name or metric.kind, self.variants[v].index, runner.rows, numbers[place])
        if not run.captures:
            return
        for place, v in enumerate(chunk):
            found = captured(self.network, run, runner.scope(run), partial(_whole, values, place))
            table.captures(name, self.variants[v].index, runner.rows, found)


def _whole(values: Values, variant: int, capture: Capture, site: Site) -> Tensor:
    return values.whole(variant, site)
