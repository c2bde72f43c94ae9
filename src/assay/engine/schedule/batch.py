"""One run of a batch of variants: its rows, its edits on them, one native pass, and what it left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.engine.changes import Sources
from assay.engine.costs import Costs
from assay.engine.hooks import Action
from assay.engine.runner import Runner
from assay.engine.schedule.base import Base
from assay.engine.schedule.departures import Departure, Placed, entry
from assay.engine.schedule.flow import Flow
from assay.engine.schedule.reading import wanted_rows
from assay.engine.schedule.row_edits import Batch, Numbered, change_at
from assay.engine.schedule.rows import FlatRows, Rows, Sequences, WholeRows
from assay.engine.schedule.values import Values
from assay.engine.select import Scope
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.site_metrics import SiteMetric
from assay.models.chain import Chain
from assay.models.structure import Site


@dataclass
class Made:
    """A run of a batch that was made."""

    values: Values
    token_layers: int = 0
    flops: float = 0.0


@dataclass(frozen=True)
class RowRun:
    """A run that varies, for a batch of variants and a group of examples."""

    runner: Runner
    chain: Chain
    base: Base
    run: Run
    flat: bool
    needed: frozenset[Site]
    """Sites that captures, metrics or later runs read."""
    metrics: tuple[Metric, ...]
    sources: Callable[..., Sources]
    shared: frozenset[str]
    costs: Costs
    padded: bool
    """The model puts its output into sequences again: the rows that are read must fill whole ones."""
    share_calls: bool
    """Sequences that begin at near positions may share a call of attention."""
    early: bool
    """Passes end after the last block that is needed."""

    def make(self, placed: Sequence[Sequence[Placed]], departures: Sequence[Departure]) -> Made:
        """Run it. `placed` and `departures` are those of each variant of the batch."""
        scope = self.runner.scope(self.run)
        sequences = Sequences.of(departures)
        examples = len(scope.rows)
        rows: Rows
        if self.flat:
            spare = self.costs.spare_queries(scope.tokens) if self.share_calls else 0
            rows = FlatRows(sequences, self.base, examples, scope.tokens, spare=spare)
        else:
            rows = WholeRows(sequences, self.base, examples, scope.tokens)
        made = Made(Values(self.base, rows, self.chain))
        if not len(sequences):
            return made
        batch = Batch(rows, scope, self.sources, self.shared)
        made.values.read = {
            pair: row for row, pair in enumerate(wanted_rows(list(self.metrics), made.values, self.runner, self.run))
        }
        last = last_block(self.needed, self.chain, reads=bool(made.values.read) or not self.early)
        if last < 0:
            return made
        actions = [*self._changes(placed, departures, batch), *self._keeps(made.values)]
        flow = Flow(
            self.runner.network,
            self.chain,
            self.base,
            rows,
            actions,
            last,
            self._read(made.values, actions),
            self.padded,
            self.runner.reads.tokens,
        )
        output = flow.run()
        made.token_layers = sum(flow.tokens)
        made.flops = self.costs.flow(
            [0] * (min(last + 1, len(self.chain)) - len(flow.tokens)) + flow.tokens,
            keys=_keys(sequences, scope.tokens, flat=self.flat),
            read=0 if output is None else output[..., 0].numel(),
        ).flops
        self.runner.tally.passes += 1
        self.runner.tally.rows += len(sequences)
        if output is not None and made.values.read:
            made.values.results = output if flow.read is not None else output[self._index(made.values)]
        return made

    def _changes(
        self, placed: Sequence[Sequence[Placed]], departures: Sequence[Departure], batch: Batch
    ) -> list[Action]:
        """One action for each edit's number and site, for all variants that have it."""
        found: dict[tuple[int, Site], list[Numbered]] = {}
        for variant, (edits, departure) in enumerate(zip(placed, departures, strict=True)):
            if departure.nowhere:
                continue
            numbers: dict[int, int] = {}
            for edit, site in edits:
                number = numbers.setdefault(id(edit), len(numbers))
                if entry(site, self.chain) >= departure.layer:  # before, it changes nothing and has no rows yet
                    found.setdefault((number, site), []).append((variant, edit))
        ordered = sorted(found.items(), key=lambda item: item[0][0])
        return [Action(site, change=change_at(site, edits, batch)) for (_, site), edits in ordered]

    def _keeps(self, values: Values) -> list[Action]:
        def keeper(site: Site) -> Callable[[Tensor], None]:
            def keep(value: Tensor) -> None:
                values.sites[site] = value.clone()

            return keep

        return [Action(site, keep=keeper(site)) for site in self.needed]

    def _read(self, values: Values, actions: Sequence[Action]) -> tuple[Tensor, ...] | None:
        """Rows to go on with after the last block; None where something there is edited or kept on all rows."""
        after = any(action.site.layer is None for action in actions)
        return None if after or not values.read else self._index(values)

    def _index(self, values: Values) -> tuple[Tensor, ...]:
        pairs = torch.tensor(list(values.read))
        return values.rows.index(pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True)
class VariantSources:
    """Values of other runs as one variant sees them: those that vary come from its own batch."""

    runner: Runner
    made: Mapping[str, Made]
    variant: int

    def value(self, run: str, site: Site) -> Tensor:
        """A run's tensor."""
        if run in self.made:
            return self.made[run].values.whole(self.variant, site)
        return self.runner.value(run, site)

    def mean(self, run: str, site: Site, *, per_position: bool) -> Tensor:
        """A mean over all examples."""
        return self.runner.mean(run, site, per_position=per_position)

    def scope_of(self, run: str) -> Scope:
        """The examples and positions of another run."""
        return self.runner.scope_of(run)

    def site(self, name: str) -> Site:
        """A site by name."""
        return self.runner.site(name)


def _keys(sequences: Sequences, tokens: int, *, flat: bool) -> float:
    """How many keys a row sees on average."""
    firsts = sequences.first if flat else (0,)
    return sum((first + 1 + tokens) / 2 for first in firsts) / len(firsts)


def last_block(needed: Iterable[Site], chain: Chain, *, reads: bool) -> int:
    """The last block that is needed; −1 when nothing is, the chain's length where the output is read."""
    if reads:
        return len(chain)
    return max((min(entry(site, chain), len(chain)) for site in needed), default=-1)


def output_metrics(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Those that read the output."""
    return tuple(metric for metric in metrics if not isinstance(metric, SiteMetric))
