"""Circuits run: every edge outside a circuit carries its sender's ablated value, every edge inside it the current one.

A kept sender's current value is what it computes in the circuit, from what reaches it there. What ablated values are
(counterfactual, mean, resampled, zero, optimal) is always said. Many circuits and examples are rows of the same passes.

Cost: one forward pass of all examples for each circuit, plus edges · pos · d_model multiplications; with sparse circuits in
a model of many small heads, two to three times the plain pass. Optimal constants: for each sender up to `steps` forward and
backward passes of all examples before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from assay.circuits.ablation import Ablation, Counterfactual, Optimal, as_ablation
from assay.circuits.contrast import Contrast
from assay.circuits.graph import Graph
from assay.circuits.measuring import AMetric, as_metric, check_gap, reading
from assay.circuits.optimal import learned
from assay.circuits.places import EMBED, Part, parts_named
from assay.circuits.replacement import replacement
from assay.core.edge_names import MIXER
from assay.core.errors import DataError
from assay.core.progress import listening
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.mixers import mixer_outputs
from assay.engine.model import Model
from assay.engine.naive import provenance
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

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
    made = circuits_of(model, pairs, graph=graph, ablation=ablation, metrics=metrics)
    every = torch.tensor(np.stack([graph.allowed, np.zeros_like(graph.allowed), *given]))
    found = made.measure(every, memory=memory)
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise DataError(
                f"the metric {name!r} is not finite in some circuit: choose another, or look at the prompts."
            )
    facts = (f"edges outside a circuit carry {as_ablation(ablation)}", *graph.facts, f"engine: {ENGINE}")
    return CircuitRuns(
        {name: values[2:] for name, values in found.items()},
        {name: values[0] for name, values in found.items()},
        {name: values[1] for name, values in found.items()},
        facts,
        provenance(model.network, made.prepared.experiment, made.prepared.prompts, ENGINE),
        made.cost(time.perf_counter() - started),
    )


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
    """
    several = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
    chosen = [as_metric(metric).model_copy(update={"run": None}) for metric in several]
    asked = as_ablation(ablation)
    if isinstance(asked, Optimal):
        alone = [[part] for part in _senders(model, graph)]
        replaced, _ = learned(model, pairs, alone, ablation=asked, metric=chosen[0])
    else:
        replaced = replacement(pairs, asked, tuple(_written(model, graph)))
    experiment = Experiment(
        inputs=replaced.inputs, runs={**replaced.runs, "main": Run(input="clean")}, metrics=chosen, main="main"
    )
    return ManyCircuits.of(
        model.network, experiment, senders=graph.senders, receivers=graph.receivers, source=replaced.source
    )


def _senders(model: Model, graph: Graph) -> Iterator[Part]:
    """The senders as parts that can be ablated."""
    whole = {f"L{layer}.{MIXER}": layer for layer in graph.whole}
    for name in graph.senders:
        if name == EMBED.name:
            yield EMBED
        elif name in whole:
            yield Part(name, "attn", whole[name], tuple(map(str, mixer_outputs(model.network, whole[name]))))
    yield from parts_named(model, [name for name in graph.senders if name != EMBED.name and name not in whole])


def _written(model: Model, graph: Graph) -> Iterator[str]:
    """The sites at which senders write; one without a layer is that of every layer that has it."""
    yield "L0.resid_pre"
    if len(graph.whole) < len(graph.layers) and model.why_not("z") is None:
        yield "z"
    for layer in graph.whole:
        yield from map(str, mixer_outputs(model.network, layer))
    if model.why_not("mlp_out") is None:
        yield "mlp_out"
