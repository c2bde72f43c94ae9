"""Circuits run: every edge outside a circuit carries its sender's ablated value, every edge inside it the current one.

A kept sender's current value is what it computes in the circuit, from what reaches it there. What ablated values are
(counterfactual, mean, resampled, zero, optimal) is always said. Many circuits and examples are rows of the same passes.

Cost: one forward pass of all examples for each circuit, plus edges · pos · d_model multiplications; with sparse circuits in
a model of many small heads, two to three times the plain pass. Optimal constants: up to `steps` forward and backward passes of
all examples before, for each sender, or, learned together, for each circuit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from assay.circuits.ablation import Ablation, AnyAblation, Counterfactual, Optimal, Zero, as_ablation
from assay.circuits.circuit_constants import learned_together
from assay.circuits.constants import Learned, told
from assay.circuits.contrast import Contrast
from assay.circuits.cutting import cutting, refuse_values, senders_of, written
from assay.circuits.graph import Graph
from assay.circuits.measuring import AMetric, as_metric, check_gap, reading
from assay.circuits.optimal import learned
from assay.circuits.ranking import Mask
from assay.circuits.replacement import replacement
from assay.core.errors import DataError, SettingsError
from assay.core.progress import listening, report
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.model import Model
from assay.engine.naive import provenance
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric

ENGINE = "edges cut in whole passes, circuits and examples as rows"


@dataclass(frozen=True)
class CircuitRuns:
    """Metrics of circuits, of the whole model and of none of its edges, on the clean prompts; by the metrics' names."""

    values: Mapping[str, Float[np.ndarray, "circuit example"]]
    whole: Mapping[str, Float[np.ndarray, " example"]]
    """With every edge kept."""
    empty: Mapping[str, Float[np.ndarray, " example"]]
    """With every edge cut."""
    facts: tuple[str, ...]
    provenance: Provenance
    cost: Cost

    def __getitem__(self, metric: str) -> Float[np.ndarray, "circuit example"]:
        return self.values[metric]


def run_circuits(
    model: Model,
    pairs: Pairs,
    masks: Bool[np.ndarray, "circuit sender receiver"] | Sequence[Bool[np.ndarray, "sender receiver"]],
    *,
    graph: Graph,
    ablation: Ablation,
    metrics: AMetric | Metric | Sequence[AMetric | Metric],
    memory: str | float | None = None,
) -> CircuitRuns:
    """Metrics [circuit, example] of circuits. `memory` is what rows may take: "4GiB", a fraction, half of what is free.

    Raises:
        DataError: a mask that does not fit the graph.
        SiteError: edges that can't be cut in this model.
    """
    started = time.perf_counter()
    given = [graph.checked(np.asarray(mask)) for mask in masks]
    every = [graph.allowed, np.zeros_like(graph.allowed), *given]
    made, facts = _made(model, pairs, every, graph=graph, ablation=as_ablation(ablation), metrics=metrics)
    found: dict[str, np.ndarray] = {}
    for each, some in made:
        for name, values in each.measure(torch.tensor(np.stack(some)), memory=memory).items():
            found[name] = np.concatenate([found[name], values]) if name in found else values
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise DataError(
                f"the metric {name!r} is not finite in some circuit: choose another, or look at the prompts."
            )
    prepared, costs = made[-1][0].prepared, [each.cost(0.0) for each, _ in made]
    return CircuitRuns(
        {name: values[2:] for name, values in found.items()},
        {name: values[0] for name, values in found.items()},
        {name: values[1] for name, values in found.items()},
        (*facts, *graph.facts, f"engine: {ENGINE}"),
        provenance(model.network, prepared.experiment, prepared.prompts, ENGINE),
        sum(costs[1:], start=costs[0]).model_copy(update={"seconds": time.perf_counter() - started}),
    )


def _made(
    model: Model,
    pairs: Pairs,
    every: Sequence[Mask],
    *,
    graph: Graph,
    ablation: AnyAblation,
    metrics: AMetric | Metric | Sequence[AMetric | Metric],
) -> tuple[list[tuple[ManyCircuits, Sequence[Mask]]], list[str]]:
    """What runs which circuits: one for all of them, or where constants are learned together one for each."""
    said = f"edges outside a circuit carry {ablation}"
    if not isinstance(ablation, Optimal) or not ablation.together:
        return [(circuits_of(model, pairs, graph=graph, ablation=ablation, metrics=metrics), every)], [said]
    chosen, found = _chosen(metrics), list[Learned]()
    made: list[tuple[ManyCircuits, Sequence[Mask]]] = []
    for mask in every:
        if np.array_equal(mask & graph.allowed, graph.allowed):  # nothing is cut, and nothing to learn
            replaced = replacement(pairs, Zero(), tuple(written(model, graph)))
        else:
            replaced, how = learned_together(model, pairs, mask, graph=graph, ablation=ablation, metric=chosen[0])
            found.append(how)
        made.append((cutting(model, graph, replaced=replaced, metrics=chosen), [mask]))
        report(len(made), len(every))
    facts = [f"constants without any edge: {told(found[:1], examples=len(pairs))}"]
    facts += [f"constants of {len(found) - 1} circuits: {told(found[1:], examples=len(pairs))}"] if found[1:] else []
    return made, [said, *facts]


def refuse_no_gap(model: Model, pairs: Pairs, *, ablation: Ablation, metric: Metric) -> None:
    """Raise DataError where clean and counterfactual prompts have the same metric and the ablation needs them to differ."""
    if isinstance(as_ablation(ablation), Counterfactual):
        sides = reading(metric, clean="clean", corrupt="corrupt")
        with listening(None):
            found = model.measure(Experiment(inputs=Contrast(pairs).inputs, metrics=sides, main="clean")).data
        check_gap(metric, found["clean"].values, found["corrupt"].values)


def circuits_of(
    model: Model,
    pairs: Pairs,
    *,
    graph: Graph,
    ablation: Ablation,
    metrics: AMetric | Metric | Sequence[AMetric | Metric],
) -> ManyCircuits:
    """The clean run, ready to be made under circuits of a graph; values of cut senders are the ablation's.

    An optimal constant is learned for each sender with that sender alone ablated (its every edge cut), not for each circuit.

    Raises:
        SettingsError: constants that are to be learned together, for circuits that are not there yet.
    """
    chosen, asked = _chosen(metrics), as_ablation(ablation)
    if not isinstance(asked, Counterfactual):
        refuse_values(model, graph, asked)
    if not isinstance(asked, Optimal):
        return cutting(model, graph, replaced=replacement(pairs, asked, tuple(written(model, graph))), metrics=chosen)
    if asked.together:
        raise SettingsError(
            "together: constants are learned together for a given circuit, and this method is still looking for one. Leave it "
            "out here, and evaluate what is found with it."
        )
    alone = [[part] for part in senders_of(model, graph)]
    replaced, _ = learned(model, pairs, alone, ablation=asked, metric=chosen[0])
    return cutting(model, graph, replaced=replaced, metrics=chosen)


def _chosen(metrics: AMetric | Metric | Sequence[AMetric | Metric]) -> list[Metric]:
    several = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
    return [as_metric(metric).model_copy(update={"run": None}) for metric in several]
