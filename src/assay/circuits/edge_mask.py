"""Learned masks: which edges to keep, found by gradient descent on how much of each is kept.

An edge kept to a share w carries w · current + (1 − w) · ablated. What is learned is a number for each edge, by Adam, so that
the masked model does on clean prompts what the whole model does: for KL, loss or rank little of it, for any other metric
the whole model's own value (squared difference), so that nothing is gained by breaking it upwards.

    hard_concrete   w is drawn between 0 and 1, with a probability to be just 0 or 1 that is learned; the expected number of
                    edges that are not 0 is pulled down to `size` by a penalty. Louizos et al. 2018; edges: Bhaskar et al. 2024
    top_k           the largest are kept, whole; gradients flow as if w were a sigmoid (straight through). How many goes
                    from all edges to `size`, by equal factors, over the first half of the steps

What counts at the end, and what training is stopped by, is the circuit of the `size` largest on examples held out.

Cost: `steps` forward and backward passes of a batch, with every edge's change in memory: for each row about layers ·
receivers of a layer · pos · d_model · 8 numbers. Sources: Bhaskar et al. 2024, arXiv:2406.16778; Cao et al. 2021,
arXiv:2104.03514.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.graph import Graph
from assay.circuits.layers import GROUPED, Grouped
from assay.circuits.measuring import LESS_IS_BETTER, AMetric, as_metric
from assay.circuits.running import circuits_of, refuse_no_gap
from assay.core.caveats import caveat
from assay.core.errors import DataError, SettingsError
from assay.core.progress import listening, report
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.seeds import child_seed, generator
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.model import Model
from assay.engine.prepared import per_example
from assay.engine.runner import Runner
from assay.experiments.record import Record

LOW, HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3
"""The hard concrete distribution is a stretched sigmoid of logistic noise, cut at 0 and 1."""
CHECK_EVERY = 10
"""Steps between looks at the examples held out."""
Kind = Literal["hard_concrete", "top_k"]


class MaskTraining(Record):
    """How a mask is trained."""

    steps: int = Field(default=300, ge=1)
    """The most steps."""
    rate: float = Field(default=0.1, gt=0)
    """Learning rate (Adam)."""
    penalty: float = Field(default=1.0, gt=0)
    """hard_concrete: weight of log(expected edges / size), as long as there are more than `size`."""
    batch: int = Field(default=8, ge=1)
    """Examples in one step."""
    patience: int = Field(default=10, ge=1)
    """Looks at the held-out examples without a better circuit before it stops; half of the steps are always made."""
    held_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of the examples that training is stopped by."""


DEFAULT = MaskTraining()


@method(
    gives=Scores,
    cites=("arXiv:2406.16778", "arXiv:2104.03514"),
    cost="steps forward and backward passes of a batch, and a pass of the examples held out every tenth step",
    assumes="that a good circuit can be reached from the whole graph by small changes of all edges at once",
    fails_when="too few steps or examples for so many edges; another seed finds another circuit: compare several",
)
def edge_mask(
    model: Model,
    pairs: Pairs,
    *,
    size: Annotated[int, Field(ge=1), "how many edges are to be kept"],
    kind: Annotated[
        Kind, "hard_concrete: kept with a learned probability; top_k: the largest, gradients straight through"
    ],
    ablation: Annotated[Ablation, "what a cut edge carries in place of its sender's value"],
    metric: Annotated[AMetric, "what is to stay: KL to the clean run ({'kind': 'kl', 'to': 'clean'}), logit_diff, …"],
    training: Annotated[MaskTraining, "steps, learning rate, batch, stopping"] = DEFAULT,
    grouped: Annotated[Grouped, GROUPED] = False,
    seed: Annotated[int, "of batches, noise and the examples held out"] = 0,
) -> Scores:
    """Which edges to keep together, learned by gradient descent on a mask."""
    graph, chosen = Graph.of(model, grouped=grouped), as_metric(metric)
    if size > graph.edge_count:
        raise SettingsError(f"size={size}: this graph has {graph.edge_count:,} edges.")
    if len(pairs) < 4:
        raise SettingsError(f"{len(pairs)} pairs: expected at least 4, to train on some and to hold some out.")
    refuse_no_gap(model, pairs, ablation=ablation, metric=chosen)
    made = circuits_of(model, pairs, graph=graph, ablation=ablation, metrics=chosen)
    aim, mask = _Aim(made, chosen.kind in LESS_IS_BETTER), _Mask(graph, kind, size, seed)
    order = np.random.default_rng(child_seed(seed, "held out")).permutation(len(pairs)).tolist()
    back = max(1, round(training.held_out * len(pairs)))
    found = _Run(made, aim, mask, training, seed).train(order[back:], order[:back])
    facts = [
        f"the {size:,} largest of {graph.edge_count:,} edges miss the aim by {found.missed:.4g} on {back} examples held "
        f"out (all edges: {found.whole:.4g}, none: {found.none:.4g})",
        f"{kind}, {found.steps} of at most {training.steps} steps, seed {seed}; a cut edge carries {as_ablation(ablation)}",
        *graph.facts,
    ]
    if found.steps == training.steps:
        facts.append(caveat("training was not done when its steps were used up: try more"))
    if not found.missed < found.none:
        facts.append(caveat("the circuit is no nearer to the whole model than no edges at all"))
    values = found.logits[np.asarray(graph.allowed)]
    return Scores(graph.edges, values, "log odds that the edge is kept", facts=tuple(facts))


@dataclass
class _Mask:
    """The numbers that are learned, and masks made of them."""

    graph: Graph
    kind: Kind
    size: int
    seed: int

    def __post_init__(self) -> None:
        self.allowed = torch.tensor(np.asarray(self.graph.allowed))
        draw = generator(self.seed, "edge mask")
        start = 2.0 if self.kind == "hard_concrete" else 0.0
        self.logits = (start + 0.01 * torch.randn(self.allowed.shape, generator=draw)).requires_grad_()
        self.noise = generator(self.seed, "edge mask noise")

    def soft(self, rows: int, done: float) -> Tensor:
        """Masks to train with, [row, sender, receiver], when so much of the training is done."""
        if self.kind == "top_k":
            share, all_edges = torch.sigmoid(self.logits), self.graph.edge_count
            kept = self.hard(round(all_edges * (self.size / all_edges) ** min(1.0, 2 * done)))
            return (kept.float() + share - share.detach()).expand(rows, -1, -1)
        drawn = torch.rand(rows, *self.allowed.shape, generator=self.noise).clamp(1e-6, 1 - 1e-6)
        share = torch.sigmoid((drawn.logit() + self.logits) / TEMPERATURE)
        return (share * (HIGH - LOW) + LOW).clamp(0, 1)

    def hard(self, size: int) -> Tensor:
        """The circuit of the largest."""
        ranked = self.logits.detach().masked_fill(~self.allowed, -torch.inf).flatten()
        chosen = torch.zeros_like(ranked, dtype=torch.bool)
        chosen[ranked.argsort(descending=True, stable=True)[:size]] = True
        return chosen.reshape(self.allowed.shape)

    def excess(self) -> Tensor | None:
        """log(expected edges / size) while that is above zero; None where there is nothing to pull."""
        if self.kind == "top_k":
            return None
        shift = TEMPERATURE * float(np.log(-LOW / HIGH))
        expected = torch.sigmoid(self.logits - shift)[self.allowed].sum()
        return (expected / self.size).log() if float(expected.detach()) > self.size else None


@dataclass
class _Aim:
    """How far a masked run is from what it should do: a number for each row."""

    made: ManyCircuits
    less: bool
    wanted: dict[int, float] | None = None

    def missed(self, values: Tensor, rows: Sequence[int]) -> Tensor:
        """The metric itself where less is better, else the squared distance from the whole model's."""
        if self.less:
            return values
        if self.wanted is None:
            whole = torch.ones(1, len(self.made.senders), len(self.made.receivers))
            self.wanted = dict(enumerate(next(iter(self.made.measure(whole).values()))[0].tolist()))
        return (values - torch.tensor([self.wanted[row] for row in rows]).to(values)).square()


@dataclass(frozen=True)
class _Found:
    logits: np.ndarray
    missed: float
    whole: float
    none: float
    steps: int


@dataclass
class _Run:
    """Training under way."""

    made: ManyCircuits
    aim: _Aim
    mask: _Mask
    asked: MaskTraining
    seed: int

    def train(self, rows: list[int], held: list[int]) -> _Found:
        """Train until the circuit does not get better on the examples held out."""
        runners = {row: runner for runner in self.made.runners() for row in runner.rows}
        optimiser = torch.optim.Adam([self.mask.logits], lr=self.asked.rate)
        draw = np.random.default_rng(child_seed(self.seed, "batches"))
        allowed, size = self.mask.allowed, min(self.asked.batch, len(rows))
        whole, none = self._miss(held, allowed), self._miss(held, torch.zeros_like(allowed))
        best, logits, since, step = np.inf, self.mask.logits.detach().clone(), 0, 0
        for step in range(1, self.asked.steps + 1):
            optimiser.zero_grad()
            self._backward(draw.choice(rows, size=size, replace=False).tolist(), runners, step / self.asked.steps)
            optimiser.step()
            report(step, self.asked.steps)
            if step % CHECK_EVERY and step < self.asked.steps:
                continue
            missed = self._miss(held, self.mask.hard(self.mask.size))
            since = 0 if missed < best else since + 1
            if missed < best:
                best, logits = missed, self.mask.logits.detach().clone()
            if since >= self.asked.patience and 2 * step > self.asked.steps:
                break
        return _Found(logits.double().numpy(), best, whole, none, step)

    def _backward(self, rows: list[int], runners: dict[int, Runner], done: float) -> None:
        """Gradients of what a batch misses, and of the penalty."""
        for runner in {id(runners[row]): runners[row] for row in rows}.values():
            at = [place for place, row in enumerate(runner.rows) if row in rows]
            many = self.made.rows(runner, at, self.mask.soft(len(at), done), smooth=True)
            with torch.enable_grad():
                metric = self.made.prepared.experiment.metrics[0]
                values = per_example(many.measure_smooth(metric, "main", self.made.prepared.run))
                loss = self.aim.missed(values, many.rows).sum() / len(rows)
            if not bool(torch.isfinite(loss)):
                raise DataError(
                    "training a mask: the metric is not finite in some masked run. Choose another metric or rate."
                )
            loss.backward()
        excess = self.mask.excess()
        if excess is not None:
            (self.asked.penalty * excess).backward()

    def _miss(self, rows: list[int], circuit: Tensor) -> float:
        """What a circuit misses on some examples."""
        with listening(None):
            values = torch.tensor(next(iter(self.made.measure(circuit[None], rows=rows).values()))[0])
            return float(self.aim.missed(values, rows).mean())
