"""Many circuits at once: rows of one pass hold different circuits and different examples.

Values that cut senders are replaced by are read once, from a run of their own; then circuits × examples are rows of passes
as large as memory allows. Cost: one pass over all examples for the source, and one for each circuit, with what `rewire` adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Receiver, Sender, parse_receiver, parse_sender
from assay.core.progress import report
from assay.core.provenance import Cost
from assay.engine.costs import Costs
from assay.engine.edges.binding import attention_for, refuse_unreachable
from assay.engine.edges.rewire import Cuts, Rewire, cuts
from assay.engine.edges.trial import refuse_untrue
from assay.engine.edges.wiring import Wiring, wiring
from assay.engine.followed import followed
from assay.engine.memory import budget
from assay.engine.narrowed import narrow
from assay.engine.passes import Kept as Passed
from assay.engine.passes import forward
from assay.engine.prepared import Prepared, per_example, picked
from assay.engine.reads import Reads
from assay.engine.rows import own_rows
from assay.engine.runner import Runner
from assay.engine.schedule.measure import reads
from assay.experiments.edge_edits import STREAM, Edges
from assay.experiments.experiment import Experiment
from assay.models.network import Network

EXAMPLES = 32
"""Of one length, whose source values are in memory together."""

Kept = Float[Tensor, "circuit sender receiver"]


@dataclass(frozen=True)
class ManyCircuits:
    """An experiment's run `main`, ready to be made under any circuits. `source` is the run of replaced values."""

    prepared: Prepared
    wiring: Wiring
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    source: str

    @classmethod
    def of(
        cls, network: Network, experiment: Experiment, *, senders: Sequence[str], receivers: Sequence[str], source: str
    ) -> ManyCircuits:
        """Check everything that can be checked before a pass.

        Raises:
            SiteError: edges can't be cut in this model, or it lacks a part.
            InputError: prompts that do not line up with those of the source.
        """
        wires = wiring(network)
        parts: list[Sender | Receiver] = [*map(parse_sender, senders), *map(parse_receiver, receivers)]
        refuse_untrue(wires, parts)
        wires = wires.among(parts)
        nothing = torch.zeros(len(senders), len(receivers))
        probe = Edges(
            site=STREAM,
            source=source,
            senders=tuple(senders),
            receivers=tuple(receivers),
            kept=nothing,
        )
        prepared = Prepared.from_experiment(network, experiment, [probe])
        made = cls(prepared, wires, tuple(senders), tuple(receivers), source)
        refuse_unreachable(network, Rewire(wires, made._cuts(nothing[None]), lambda _: nothing))
        return made

    def measure(
        self, kept: Kept, *, rows: Sequence[int] | None = None, memory: str | float | None = None
    ) -> dict[str, Float[np.ndarray, "circuit example"]]:
        """The metrics of every circuit on every example: by name, [circuit, example]. `rows` are some of the examples.

        `memory` is what rows may take: a size, a fraction of what is free, or None for half of it.
        """
        names = [metric.name or metric.kind for metric in self.prepared.experiment.metrics]
        wanted = range(len(self.prepared.prompts[self.prepared.run.input])) if rows is None else list(rows)
        column = {row: number for number, row in enumerate(wanted)}
        found = {name: np.full((len(kept), len(column)), np.nan) for name in names}
        done, total = 0, len(kept) * len(column)
        for runner in self.runners():
            size = self.room(runner, memory)
            here = [at for at, row in enumerate(runner.rows) if row in column]
            every = [(circuit, at) for circuit in range(len(kept)) for at in here]
            for start in range(0, len(every), size):
                some = every[start : start + size]
                circuits, at = [circuit for circuit, _ in some], [place for _, place in some]
                many = self.rows(runner, at, kept[circuits])
                for metric, name in zip(self.prepared.experiment.metrics, names, strict=True):
                    values = per_example(many.measure(metric, "main", self.prepared.run))
                    found[name][circuits, [column[row] for row in many.rows]] = values.double().cpu().numpy()
                done += len(some)
                report(done, total)
        return found

    def runners(self) -> Iterator[Runner]:
        """Examples by length, with the source's values."""
        for rows in self.prepared.groups(EXAMPLES):
            yield self.prepared.runner(rows)

    def rows(self, runner: Runner, at: Sequence[int], kept: Kept, *, smooth: bool = False) -> Runner:
        """The run `main` of examples of a group, by their place in it, each under a circuit of its own.

        With `smooth`, derivatives with respect to `kept` are followed.
        """
        many = picked(runner, at)
        prompts = many.prompts[self.prepared.run.input]
        rewire = Rewire(self.wiring, self._cuts(kept), partial(many.value, self.source))
        changes = [*many.changes(self.prepared.run.edits, many.scope(self.prepared.run)), *rewire.changes()]
        inputs = prompts.inputs(own_rows(prompts, many.rows))
        run = followed if smooth else forward
        with attention_for(many.network, [rewire], [site for site, _ in changes]):
            many.kept["main"] = self.passed(many, lambda: run(many.network, inputs, changes))
        return many

    def passed(self, many: Runner, make: Callable[[], Passed]) -> Passed:
        """A pass of the run `main`, counted, that gives logits where the metrics read them."""
        scope, many.reads = many.scope(self.prepared.run), self.reads
        many.tally.passes += 1
        many.tally.plain(len(many.rows), scope.tokens)
        read = many.reads.at("main", many.scope_of)
        many.tally.logits(read, tokens=len(many.rows) * scope.tokens, share=many.reads.share(many.network))
        return narrow(many.network, read, make, tokens=many.reads.tokens)

    @cached_property
    def reads(self) -> Reads:
        """What the metrics read of the output."""
        return reads(self.prepared.network, self.prepared.experiment)

    def room(self, runner: Runner, memory: str | float | None) -> int:
        """Rows in one pass: the residual changes of all senders, a few copies of a layer's inputs, and the logits."""
        network, tokens = runner.network, runner.scope(self.prepared.run).tokens
        read = self.reads.most("main", runner.scope_of)
        site = network.site("L0.resid_pre")
        width, most = site.sizes["d_model"], max(self._at_once.values())
        copies = 10 if self.wiring.norms else 6
        numbers = tokens * width * (len(self.senders) + copies * most) + 4 * read * self.reads.share(network) * (
            network.vocabulary or 0
        )
        size = torch.finfo(self._dtype).bits // 8
        return max(1, int(budget(memory, network.device) / (2 * size * numbers)))

    def cost(self, seconds: float) -> Cost:
        """What was computed so far in whole passes; what cutting edges adds is not counted."""
        tally, network = self.prepared.tally, self.prepared.network
        flops = Costs(network, network.structure.main_chain).tallied(tally)
        return Cost(
            passes=tally.passes, rows=tally.rows, token_layers=tally.tokens * self.wiring.depth, seconds=seconds,
            backward_passes=tally.backward, flops=flops,
        )  # fmt: skip

    def _cuts(self, kept: Kept) -> Cuts:
        senders, receivers = map(parse_sender, self.senders), map(parse_receiver, self.receivers)
        return cuts(self.wiring, list(senders), list(receivers), kept.to(self.prepared.network.device))

    @cached_property
    def _at_once(self) -> Mapping[int | None, int]:
        """Receivers of each layer."""
        return Counter(parse_receiver(name).layer for name in self.receivers)

    @property
    def _dtype(self) -> torch.dtype:
        parameter = next(self.prepared.network.native.parameters(), None)
        return torch.float32 if parameter is None else parameter.dtype
