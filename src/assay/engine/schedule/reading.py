"""Metrics read from the rows of a batch, for all its sequences at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.measures import Measured, Places, compute, positions_of, take
from assay.engine.runner import Runner
from assay.engine.schedule.values import Values
from assay.engine.select import Scope, position_axis
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.site_metrics import SiteMetric
from assay.models.structure import Site


@dataclass(frozen=True)
class RowReading:
    """All sequences of a batch as one run of many examples."""

    values: Values
    runner: Runner
    all_ids: Tensor | None

    @property
    def ids(self) -> Tensor | None:
        """Token ids of every sequence's prompt."""
        return None if self.all_ids is None else self.all_ids[self._examples]

    @property
    def _examples(self) -> list[int]:
        return list(self.values.rows.sequences.example)

    def length(self, site: Site | None) -> int | None:
        """Positions at a site, or of the output."""
        if site is None:
            output = self.values.base.kept.output
            return None if output is None or output.ndim < 3 else output.shape[1]
        axis = position_axis(site.axes)
        return None if axis is None else self.values.base.kept.sites[site].shape[axis]

    def output(self, places: Places) -> Tensor:
        """Logits at positions."""
        return self.values.output(places)

    def site(self, site: Site, places: Places | None) -> Tensor:
        """A site's tensor at positions."""
        if places is None:
            raise ExperimentError(f"{site} has no positions to read.")
        return self.values.at(site, places)

    def other(self, run: str, places: Callable[[Scope, int], Places]) -> Tensor:
        """The logits of a run that is the same for all variants."""
        there, logits = self.runner.scope_of(run), self.runner.logits(run)
        rows = tuple(there.rows[example] for example in self._examples)
        return take(logits[self._examples], places(replace(there, rows=rows), logits.shape[1]))

    def continued(self, answers: list[tuple[int, ...]]) -> Tensor:
        """Never asked for: such metrics are left to the naive engine."""
        raise ExperimentError("answers of several tokens are scored by the naive engine.")


def measured(metric: Metric, values: Values, runner: Runner, run: Run) -> Tensor:
    """A metric for each sequence of a batch, [sequence, …]."""
    return compute(metric, _measured(values, runner, run))


def _measured(values: Values, runner: Runner, run: Run) -> Measured:
    base, scope = values.base, runner.scope(run)
    reading = RowReading(values, runner, base.inputs.get("input_ids"))
    rows = tuple(scope.rows[e] for e in values.rows.sequences.example)
    many = Scope(rows, scope.prompt, scope.named, scope.offset, scope.tokens, scope.examples)
    return Measured(
        reading,
        many,
        runner.experiment.inputs[run.input],
        runner.network.tokenizer,
        runner.site,
        None,
        runner.reads.tokens,
    )


def wanted_rows(metrics: list[Metric], values: Values, runner: Runner, run: Run) -> list[tuple[int, int]]:
    """(sequence, position) pairs at which metrics read the output, those under way only, each once, in order."""
    found: dict[tuple[int, int], None] = {}
    length = None if values.base.kept.output is None else values.base.kept.output.shape[1]
    for metric in metrics:
        if isinstance(metric, SiteMetric) or length is None:
            continue
        places = positions_of(metric, _measured(values, runner, run).scope, length)
        for sequence, positions in enumerate(places):
            first = values.rows.sequences.first[sequence]
            found.update({(sequence, p): None for p in positions if p >= first})
    return sorted(found)


def spread(values: Tensor, base: Tensor, variants: int, rows: Values) -> Tensor:
    """Numbers of the sequences as [variant, batch, …]: where nothing departs, the unchanged pass's."""
    made = base.expand(variants, *base.shape).clone()
    sequences = rows.rows.sequences
    if len(sequences):
        made[torch.tensor(sequences.variant), torch.tensor(sequences.example)] = values.to(made.dtype)
    return made
