"""A circuit and the whole model with some of the circuit's nodes gone, run once for each question.

A node is gone when all edges that leave it are cut: what it writes is then its ablated value wherever it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.circuits.ablation import Ablation
from assay.circuits.circuit import Circuit
from assay.circuits.evaluation.areas import ratio_of_means
from assay.circuits.evaluation.held_out import described
from assay.circuits.evaluation.single import idle_edges, on_model
from assay.circuits.measuring import AMetric, as_metric, sign_of
from assay.circuits.ranking import Mask
from assay.circuits.running import run_circuits
from assay.circuits.same_prompts import overlap
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.model import Model

AtOnce = Float[np.ndarray, "circuit example"]


class Asking:
    """Runs circuits of one model on one set of prompts, and keeps count of the cost.

    Raises:
        DataError: the circuit does not fit the model, or whole model and empty circuit do the same.
    """

    def __init__(self, model: Model, pairs: Pairs, circuit: Circuit, *, ablation: Ablation, metric: AMetric) -> None:
        self.model, self.pairs, self.ablation = model, pairs, ablation
        self.circuit = on_model(model, circuit)
        self.measure: Any = as_metric(metric).model_copy(update={"name": "kept"})
        self.made, self.cost = Provenance(), Cost()
        self.facts = [
            *overlap(circuit.found_on, pairs),
            *circuit.facts,
            *idle_edges(self.circuit),
            f"measured on {described(pairs)}",
        ]
        whole, empty = self.metric_of([self.circuit.graph.allowed, np.zeros_like(self.circuit.mask)])
        ratio_of_means(whole[None], whole, empty)  # refuses a gap of zero, in words
        self.gap = float(whole.mean() - empty.mean())

    @property
    def nodes(self) -> tuple[str, ...]:
        """The circuit's heads and MLPs; the embedding is never taken out."""
        return tuple(name for name in self.circuit.nodes if name != "embed")

    def without(self, mask: Mask, nodes: Iterable[str]) -> Mask:
        """A circuit with these nodes gone."""
        left = mask.copy()
        left[[self.circuit.graph.sender(name) for name in nodes]] = False
        return left

    def metric_of(self, masks: Sequence[Mask]) -> AtOnce:
        """The metric of circuits, larger where there is more of the behaviour; each different one is run once."""
        first: dict[bytes, int] = {}
        place = [first.setdefault(np.packbits(mask).tobytes(), len(first)) for mask in masks]
        different = [masks[place.index(i)] for i in range(len(first))]
        runs = run_circuits(
            self.model, self.pairs, different, graph=self.circuit.graph, ablation=self.ablation, metrics=[self.measure]
        )
        self.made, self.cost = runs.provenance, self.cost + runs.cost
        self.facts = list(dict.fromkeys([*self.facts, *runs.facts]))
        return np.asarray(sign_of(self.measure) * runs["kept"][place])

    def both(self, sets: Sequence[Sequence[str]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each set of nodes the metric of the circuit without them, and of the whole model without them."""
        circuits = [self.without(self.circuit.mask, each) for each in sets]
        models = [self.without(self.circuit.graph.allowed, each) for each in sets]
        found = self.metric_of([*circuits, *models])
        return list(zip(found[: len(sets)], found[len(sets) :], strict=True))

    def apart(self, first: np.ndarray, second: np.ndarray) -> float:
        """How far two means are apart, in shares of the gap."""
        return abs(float(first.mean() - second.mean()) / self.gap)
