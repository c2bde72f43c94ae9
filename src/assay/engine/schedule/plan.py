"""The schedule of an experiment: for each group of examples the unchanged passes, then variants in batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from assay.engine.costs import Costs
from assay.engine.ends import unread
from assay.engine.few_logits import named_tokens
from assay.engine.reads import Reads
from assay.engine.rows import own_rows
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.schedule.base import Base
from assay.engine.schedule.batch import last_block, output_metrics
from assay.engine.schedule.departures import Departure, Departures, Placed, comparable, moved_up
from assay.engine.schedule.fitness import Fitness
from assay.engine.schedule.joint import joined
from assay.engine.schedule.outline import PassPlan, chunks, room, unchanged_pass, variant_pass
from assay.engine.schedule.proof import Proof
from assay.engine.schedule.unembedding import positions_read, reader, why_all, why_everywhere
from assay.experiments.edge_edits import Edges
from assay.experiments.expand import Variant
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


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
    costs: Costs
    memory: int | None = None
    """Bytes that rows may take."""
    whole: str | None = None
    """Why positions before the first change are computed again; None when they are not."""

    def __post_init__(self) -> None:
        order = executed(self.experiment)
        self.every = [{n: f.get(n) or self.experiment.run(n) for n in order} for f in self.filled]
        self.needed = needed_sites(self.network, self.experiment, self.every)
        self.fixed = tuple(name for name in order if name not in self.varying)
        self.placed = {name: [self._placed(f[name], name) for f in self.filled] for name in self.varying}
        self.kept, self.base_sites = self._sites()
        found = self._tokens()
        self.tokens = found if isinstance(found, Tensor) else None
        self.why_all_tokens = found if isinstance(found, str) else None
        self.costs = replace(self.costs, share=Reads(tokens=self.tokens).share(self.network))
        nobody = frozenset[str]() if "early" in self.without or self._why_all_of_fixed else unread(self.experiment)
        self.reads = Reads(reader(self.experiment) if self.why_whole_edited() is None else None, self.tokens, nobody)
        """What is read of runs that do not vary, but have edits."""

    def _tokens(self) -> Tensor | str:
        """The tokens whose logits are read, or why all are computed."""
        if "vocab" in self.without:
            return "switched off"
        unchanged = {*self.touched(), *(site for sites in self.base_keep().values() for site in sites)}
        why = why_everywhere(self.experiment, unchanged) or self._why_all_of_fixed
        return why or named_tokens(self.network, self.experiment)

    @cached_property
    def _why_all_of_fixed(self) -> str | None:
        """Why the whole output of runs that do not vary is computed; None when it need not be."""
        kept = {site for name in self.fixed for site in self.kept.get(name, ())}
        return why_everywhere(self.experiment, kept) or why_all(self.network, self.experiment, self.fixed)

    def _placed(self, run: Run, name: str) -> list[Placed]:
        placed: list[Placed] = [(edit, site) for edit in run.edits for site in self.network.sites_named(edit.site)]
        if "depth" in self.without or self.fit.chain is None:
            return placed
        return moved_up(placed, self.network, self.fit.chain, frozenset(self.needed.get(name, ())), self._edited())

    def _edited(self) -> dict[str, frozenset[Site]]:
        """The sites that runs which do not vary edit."""
        edits = {name: [e for e in self.experiment.run(name).edits if not isinstance(e, Edges)] for name in self.fixed}
        return {name: frozenset(s for e in es for s in self.network.sites_named(e.site)) for name, es in edits.items()}

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

    def outline(self, rows: list[int]) -> list[PassPlan]:
        """The passes for a group of examples, before any is made. No-ops are told from the tokens."""
        runner = Runner(self.network, self.experiment, self.prompts, rows, {}, self.kept)
        given, flat = self.given(rows), self.flat
        departures = self.departures(runner, given, None, flat=flat)
        fixed = [self.fixed_pass(name, runner) for name in self.fixed if name not in self.plain()]
        variants = self.planned(list(self.batches(departures, runner)), departures, runner, flat=flat)
        return [*self.unchanged(runner), *fixed, *variants]

    def given(self, rows: Sequence[int]) -> dict[str, Mapping[str, Any]]:
        """The inputs whose unchanged pass is made, for these examples."""
        return {name: self.prompts[name].inputs(own_rows(self.prompts[name], rows)) for name in self.inputs()}

    def base_keep(self) -> dict[str, set[Site]]:
        """The sites to keep of those passes."""
        sites = {name: set(self.base_sites.get(name, ())) for name in self.inputs()}
        for run in self.plain():
            sites[self.experiment.run(run).input] |= self.kept.get(run, set())
        return sites

    def sharing(self, rows: Sequence[int]) -> list[list[str]]:
        """Inputs by the native pass that they share."""
        together = self.whole is None and "together" not in self.without
        return joined(self.given(rows), self.base_keep(), together=together)

    def unchanged(self, runner: Runner) -> list[PassPlan]:
        """The unchanged passes of a group of examples."""
        found, rows, read = [], runner.rows, self.read(runner)
        for names in self.sharing(rows):
            mine = [own_rows(self.prompts[name], rows) for name in names]
            tokens = self.prompts[names[0]].lengths[mine[0][0]]
            title = f"unchanged {', '.join(names)}"
            unembedded = None if read is None else sum(int(read[name].sum()) for name in names)
            found.append(unchanged_pass(title, sum(map(len, mine)), tokens, self.costs, read=unembedded))
        return found

    def read(self, runner: Runner) -> dict[str, Tensor] | None:
        """The positions of every input's unchanged pass that are unembedded; None for all."""
        if "unembed" in self.without or self.why_everywhere() is not None:
            return None
        runs = (*self.varying, *self.plain())
        return positions_read(self.experiment, runs, runner.scope_of)

    def why_everywhere(self) -> str | None:
        """Why unchanged passes are unembedded at all positions; None when they need not be."""
        if not self.layout.flat or self.layout.padded:
            return "rows were not seen to be unembedded one by one in this model"
        return why_everywhere(self.experiment, {site for sites in self.base_keep().values() for site in sites})

    def why_whole_edited(self) -> str | None:
        """Why runs that do not vary, but have edits, are unembedded at all positions; None when they need not be."""
        if "unembed" in self.without:
            return "switched off"
        if not self.layout.flat or self.layout.padded:
            return "rows were not seen to be unembedded one by one in this model"
        return self._why_all_of_fixed

    def fixed_pass(self, name: str, runner: Runner) -> PassPlan:
        """The pass of a run that does not vary, but has edits."""
        scope, read = runner.scope(self.experiment.run(name)), self.reads.at(name, runner.scope_of)
        until = self.reads.until(self.network, name, self.kept.get(name, ()))
        unembedded = 0 if until is not None else None if read is None else int(read.sum())
        return unchanged_pass(name, len(scope.rows), scope.tokens, self.costs, read=unembedded, depth=until)

    def planned(
        self,
        batches: Sequence[Sequence[int]],
        departures: Mapping[str, Sequence[Departure]],
        runner: Runner,
        *,
        flat: bool,
    ) -> list[PassPlan]:
        """The passes of batches of variants."""
        found = []
        for chunk in batches:
            for name in self.varying:
                mine = [departures[name][v] for v in chunk]
                reads = bool(output_metrics(self.metrics(name))) or "early" in self.without
                found.append(
                    variant_pass(
                        name,
                        mine,
                        runner.scope(self.experiment.run(name)).tokens,
                        last_block(self.needed.get(name, ()), self.chain, reads=reads) + 1,
                        self.costs,
                        read=self._read(name, runner),
                        flat=flat,
                    )
                )
        return [plan for plan in found if plan.token_layers or plan.work.flops]

    def _read(self, name: str, runner: Runner) -> int:
        """Positions of a sequence that are unembedded: those that metrics read; all where a site after the blocks is used."""
        reads, kept = bool(output_metrics(self.metrics(name))), self.needed.get(name, ())
        everywhere = any(site.layer is None for site in kept)
        if not reads and not everywhere:
            return runner.scope(self.experiment.run(name)).tokens if "early" in self.without else 0
        everywhere |= any(site.layer is None for placed in self.placed[name] for _, site in placed)
        return Reads(None if everywhere else reader(self.experiment)).most(name, runner.scope_of)

    @property
    def chain(self) -> Chain:
        """The chain that variants run through."""
        assert self.fit.chain is not None
        return self.fit.chain

    @property
    def flat(self) -> bool:
        """Whether variants leave out the positions before their first change, as far as is known before a pass."""
        again = self.layout.padded and any(site.layer is None for site in self.touched())
        if self.whole is None and again:
            self.whole = "this model puts its output into sequences again, and a site there is used"
        return self.whole is None

    def metrics(self, name: str) -> tuple[Metric, ...]:
        """The metrics of a run."""
        return tuple(m for m in self.experiment.metrics if (m.run or self.experiment.main) == name)

    def touched(self) -> Iterator[Site]:
        """Every site that a run that varies edits or reads."""
        for name in self.varying:
            yield from self.needed.get(name, ())
            yield from (site for placed in self.placed[name] for _, site in placed)

    def inputs(self) -> list[str]:
        """Inputs whose unchanged pass is made."""
        return list(dict.fromkeys(self.experiment.run(name).input for name in (*self.varying, *self.plain())))

    def plain(self) -> list[str]:
        """Runs that do not vary and are the unchanged pass of their input."""
        runs = [(name, self.experiment.run(name)) for name in self.fixed]
        return [n for n, run in runs if not run.edits and not run.gradients]

    def departures(
        self,
        runner: Runner,
        inputs: Mapping[str, Mapping[str, Any]],
        bases: Mapping[str, Base] | None,
        *,
        flat: bool,
    ) -> dict[str, list[Departure]]:
        """Where every variant departs; `bases` is None before the unchanged passes are made."""
        found = {}
        for name in self.varying:
            run = self.experiment.run(name)
            finder = Departures(
                self.network,
                self.chain,
                inputs[run.input],
                None if bases is None else bases[run.input].kept.sites,
                runner.scope(run),
                runner,
                frozenset(self.fixed),
                {plain: inputs[self.experiment.run(plain).input] for plain in self.plain()},
                skip_equal="noop" not in self.without,
                by_position=flat,
                by_depth="depth" not in self.without,
            )
            found[name] = [finder.of(placed) for placed in self.placed[name]]
        return found

    def batches(
        self, departures: Mapping[str, Sequence[Departure]], runner: Runner, *, but: Collection[int] = ()
    ) -> Iterator[list[int]]:
        """Variants that go together, those that begin at the same block beside each other; not those in `but`."""
        numbers = [v for v in range(len(self.variants)) if v not in but]
        begins = {v: min(d[v].layer for d in departures.values()) for v in numbers}
        sizes = {v: max(self._rows(name, d[v], runner) for name, d in departures.items()) for v in numbers}
        return chunks(
            sorted(numbers, key=begins.__getitem__),
            sizes,
            begins,
            room=room(self.costs, self.network.device.type, self.memory),
            one_layer="stagger" in self.without,
        )

    def _rows(self, name: str, departure: Departure, runner: Runner) -> int:
        length = runner.scope(self.experiment.run(name)).tokens
        return sum(length - first for first in departure.first if first is not None)
