"""Edge attribution patching: every edge's effect, estimated from gradients at what each part reads.

    score(u → v) = (a_u − a'_u) · ∂m/∂in_v           a: in the clean run, a': ablated; summed over positions

Positive where the edge helps: what the metric would lose if v read u's ablated value. `eap` takes the gradient at the clean
run; `eap_ig` its mean at midpoints of a path from ablated to clean, either of the embedding alone (`inputs`), all else
following, or of what each layer's heads, and each MLP, write (`activations`).

Along a path of the embedding, the scores of the edges out of `embed` add up to m(clean) − m(embedding ablated): its whole
gradient is what its readers' gradients sum to. Along a path of a layer's writers, their scores add up to what ablating
them together does. How far sums are from that is the completeness gap; it falls as 1/steps² where the metric is smooth.
(After attention with a norm of its own, Gemma 2 say, what heads write does not add up, and the gap says so.)

What is not seen to first order is missed: saturated softmax (`eap` at large attention scores), edges that only work
together, KL at the clean run. Each method measures itself on edges that are patched exactly (`check`).

Cost: `eap` three forward passes and one backward pass of all examples; `inputs` `steps` of each; `activations` 2 · layers ·
steps. And once for each example, edges · pos · d_model multiplications; the sample's exact patches. In post-norm models
(BERT) gradients go back through the norms between sender and receiver, as they stand where the gradient is taken: that, and
the multiplications, at each step. Sources: Syed et al. 2023, arXiv:2310.10348; Hanna et al. 2024, arXiv:2403.17806; Marks et
al. 2024, arXiv:2403.19647.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.contrast import Contrast
from assay.circuits.edge_exactness import CHECK, SEED, Sample, against_exact_edges
from assay.circuits.graph import Graph
from assay.circuits.layers import GROUPED, Grouped
from assay.circuits.measuring import METRIC, AMetric, as_metric, check_gap, reading, sign_of, total_fact
from assay.circuits.running import circuits_of
from assay.core.caveats import caveat
from assay.core.edge_names import parse_sender
from assay.core.errors import DataError, ExperimentError
from assay.core.progress import listening, report
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.rewire import by_place
from assay.engine.edges.slopes import Slopes
from assay.engine.edges.writes import own_writes, replaced
from assay.engine.model import Model
from assay.engine.prepared import chunks
from assay.engine.runner import Runner
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.models.structure import Site

ROWS = 48
"""Rows (points × examples) of one forward and backward pass."""
EXAMPLES = 8
"""Examples whose gradients are in memory together."""
REPLACED = "what a cut edge carries in place of its sender's value"
PATH = "what goes from ablated to clean: the embedding, or what each layer's heads and each MLP write"
QUANTITY = "metric lost when the edge is cut, to first order"
ASSUMES = "that the metric is close to linear in what each part reads, between ablated and clean values"
FAILS = "attention is saturated, edges only work together, or the ablated value is far: see the error that is reported"


@method(
    gives=Scores,
    cites="arXiv:2310.10348",
    cost="three forward passes and one backward pass of all examples, and the sample's exact patches",
    assumes=ASSUMES,
    fails_when=FAILS,
)
def eap(
    model: Model,
    pairs: Pairs,
    *,
    ablation: Annotated[Ablation, REPLACED],
    metric: Annotated[AMetric, METRIC],
    grouped: Annotated[Grouped, GROUPED] = False,
    check: Annotated[int, CHECK] = 24,
    seed: Annotated[int, SEED] = 0,
) -> Scores:
    """Which edges matter, estimated from one gradient at the clean run."""
    chosen = as_metric(metric)
    if getattr(chosen, "to", None) == "clean":
        raise ExperimentError(
            f"the gradient of {chosen.kind} to the clean run is zero in that run: choose another metric, or eap_ig, which "
            "leaves that point."
        )
    graph = Graph.of(model, grouped=grouped)
    asked = _Asked.of(model, pairs, ablation=ablation, metric=chosen, graph=graph, check=check, seed=seed)
    for runner in asked.runners():
        slopes = Slopes(asked.made, runner, own_writes(asked.made, runner))
        slopes.add(1, {})
        asked.record(runner, slopes.scores())
    return asked.scores(QUANTITY, ())


@method(
    gives=Scores,
    cites=("arXiv:2403.17806", "arXiv:2403.19647"),
    cost="steps forward and backward passes of all examples (activations: 2 · layers as many), and the sample's exact patches",
    assumes=ASSUMES + ", on average along the path",
    fails_when=FAILS,
)
def eap_ig(
    model: Model,
    pairs: Pairs,
    *,
    ablation: Annotated[Ablation, REPLACED],
    metric: Annotated[AMetric, METRIC],
    path: Annotated[Literal["inputs", "activations"], PATH],
    steps: Annotated[int, "midpoints of each path"] = 8,
    grouped: Annotated[Grouped, GROUPED] = False,
    check: Annotated[int, CHECK] = 24,
    seed: Annotated[int, SEED] = 0,
) -> Scores:
    """Which edges matter, estimated from gradients along paths from ablated to clean values."""
    if steps < 1:
        raise ExperimentError(f"steps={steps}: expected at least 1.")
    graph = Graph.of(model, grouped=grouped)
    asked = _Asked.of(model, pairs, ablation=ablation, metric=as_metric(metric), graph=graph, check=check, seed=seed)
    gap = _Gap()
    for runner in asked.runners():
        own = own_writes(asked.made, runner)
        if path == "inputs":
            slopes = Slopes(asked.made, runner, own)
            effect = _integrate(slopes, slopes.written(parse_sender("embed")), steps)
            found = slopes.scores()
            gap.add("embed", effect, -found[:, 0][:, asked.readers(0)].sum(1))
        else:
            like = next(iter(own.values()))
            found = like.new_zeros(like.shape[0], *asked.graph.allowed.shape)
            for numbers in by_place((parse_sender(s), n) for n, s in enumerate(asked.graph.senders)).values():
                part = Slopes(_of_senders(asked.made, numbers, asked.graph), runner, own)
                effect = _integrate(part, part.written(part.senders[0]), steps)
                later = [asked.graph.receiver(name) for name in part.made.receivers]
                mine = part.scores() * asked.allowed(found)[numbers][:, later]
                found[:, numbers[0] : numbers[-1] + 1, later] = mine
                gap.add(part.made.senders[0], effect, -mine.sum((1, 2)))
        asked.record(runner, found)
    return asked.scores(f"{QUANTITY}, on average over {steps} midpoints of the path of {path}", (gap.fact,))


def _integrate(slopes: Slopes, sites: Sequence[Site], steps: int) -> Float[Tensor, " example"]:
    """Sum gradients at midpoints of the line from ablated to clean values at sites; gives m(clean) − m(ablated)."""
    examples = len(slopes.runner.rows)
    begin = {site: replaced(slopes.made, slopes.runner, slopes.own, site) for site in sites}
    size = max(1, ROWS // examples)
    points = [(k + 0.5) / steps for k in range(steps)]
    for start in range(0, steps, size):
        some = torch.tensor(points[start : start + size])
        slopes.add(len(some), {site: _between(begin[site], slopes.own[site], some) for site in sites})
    return slopes.measure({}) - slopes.measure(begin)


def _between(begin: Tensor, end: Tensor, points: Float[Tensor, " point"]) -> Tensor:
    """Points of a line, as rows of one batch: [point · example, …]."""
    if not end.is_floating_point():  # a choice is one or the other
        begins = (points < 0.5).reshape(-1, *[1] * end.ndim).to(end.device)
        return torch.where(begins, begin, end).flatten(0, 1)
    alpha = points.to(end).reshape(-1, *[1] * end.ndim)
    found: Tensor = (begin + alpha * (end - begin)).flatten(0, 1)
    return found


def _of_senders(made: ManyCircuits, numbers: list[int], graph: Graph) -> ManyCircuits:
    """The same with these senders alone, and what can read any of them."""
    later = np.flatnonzero(graph.allowed[numbers].any(0))
    senders, receivers = (made.senders[n] for n in numbers), (made.receivers[r] for r in later)
    return replace(made, senders=tuple(senders), receivers=tuple(receivers))


@dataclass
class _Gap:
    """By how much sums of scores miss the effects that they should add up to."""

    effects: dict[str, list[Tensor]] = field(default_factory=dict)
    sums: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, part: str, effect: Tensor, summed: Tensor) -> None:
        """For some examples."""
        self.effects.setdefault(part, []).append(effect.double().cpu())
        self.sums.setdefault(part, []).append(summed.double().cpu())

    @property
    def fact(self) -> str:
        """The worst of the parts, in words: a caveat if it is more than a tenth of the largest effect."""
        effects = {part: torch.cat(values).mean().item() for part, values in self.effects.items()}
        misses = {part: torch.cat(values).mean().item() - effects[part] for part, values in self.sums.items()}
        worst = max(misses, key=lambda part: abs(misses[part]))
        largest = max(map(abs, effects.values()))
        told = (
            f"completeness gap: scores out of {worst} add up to {effects[worst] + misses[worst]:.4g}, its effect is "
            f"{effects[worst]:.4g} (gap {misses[worst]:+.2g}{', the largest of all' if len(effects) > 1 else ''})"
        )
        return caveat(told) if abs(misses[worst]) > 0.1 * largest else told


@dataclass
class _Asked:
    """What a method was asked for, and what it has found: sums over examples, and each example of the sample."""

    graph: Graph
    made: ManyCircuits
    model: Model
    sample: Sample
    facts: tuple[str, ...]
    sign: float
    total: np.ndarray
    done: int = 0

    @classmethod
    def of(
        cls, model: Model, pairs: Pairs, *, ablation: object, metric: Metric, graph: Graph, check: int, seed: int
    ) -> _Asked:
        chosen, replaced = as_metric(metric), as_ablation(ablation)
        made = circuits_of(model, pairs, graph=graph, ablation=replaced, metrics=chosen)
        sides = reading(chosen, clean="clean", corrupt="corrupt")
        with listening(None):
            found = model.measure(Experiment(inputs=Contrast(pairs).inputs, metrics=sides, main="clean")).data
        clean, corrupt = found["clean"].values, found["corrupt"].values
        check_gap(chosen, clean, corrupt)
        shared = ", keys and values shared by groups of heads" if graph.grouped else ""
        facts = (
            f"a cut edge carries {replaced}",
            total_fact(chosen, {"clean": clean, "counterfactual": corrupt}),
            f"{graph.edge_count:,} edges{shared}",
            *graph.facts,
        )
        sample = Sample.of(graph, len(pairs), check, seed)
        return cls(graph, made, model, sample, facts, sign_of(chosen), np.zeros(graph.allowed.shape))

    def runners(self) -> Iterator[Runner]:
        """All examples, some at a time."""
        for runner in self.made.runners():
            yield from chunks(runner, EXAMPLES)

    def record(self, runner: Runner, found: Float[Tensor, "example sender receiver"]) -> None:
        """Slopes of some examples: scores are what is lost when an edge is cut."""
        values = -self.sign * found.double().cpu().numpy()
        self.total += values.sum(0)
        self.sample.record(runner.rows, values)
        self.done += len(values)
        report(self.done, len(self.made.prepared.prompts["clean"]))

    def readers(self, sender: int) -> Tensor:
        """Which receivers read a sender."""
        return torch.tensor(np.flatnonzero(self.graph.allowed[sender]))

    def allowed(self, like: Tensor) -> Tensor:
        """The edges that there are, as numbers."""
        return torch.tensor(np.asarray(self.graph.allowed)).to(like)

    def scores(self, quantity: str, facts: tuple[str, ...]) -> Scores:
        """The scores of all edges, with their error on the sample."""
        values = (self.total / self.done)[self.graph.allowed]
        if not np.isfinite(values).all():
            wrong = self.graph.edges[int(np.argmin(np.isfinite(values)))]
            raise DataError(
                f"the score of {wrong} is not finite: a value or gradient of the model is NaN or infinite there."
            )
        made = Scores(self.graph.edges, values, quantity, facts=(*self.facts, *facts))
        return against_exact_edges(self.made, made, self.sample, sign=self.sign)
