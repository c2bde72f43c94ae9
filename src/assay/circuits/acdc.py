"""ACDC: edges are taken out, from the logits backwards, as long as little of the behaviour is lost with each.

Receivers are visited in reverse order. Each edge into one that is still in the circuit is cut by itself from the circuit as
it stands; those with which less than `tau` is lost go. All edges of a receiver are judged against the same circuit and go
together, so that neither their order nor ties decide; if together they cost `tau` more than the sum of what each costs (they
stood in for one another), the half that mattered most is put back, and so on. The original judges one after the other, in an
order that decides which of two stand-ins stays. Edges into parts that no longer lead to the logits cost nothing to test.

`absolute` keeps an edge whose cut changes the metric by `tau` in either direction. Without it, as in the paper, edges that
work against the behaviour go, so that negative heads are never found.

Cost: a pass of all examples for each edge that is tested: all edges of the graph at the worst, few where little is left.
Source: Conmy et al. 2023, arXiv:2304.14997.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.layers import GROUPED, Grouped
from assay.circuits.measuring import AMetric, as_metric, sign_of
from assay.circuits.running import circuits_of, refuse_no_gap
from assay.circuits.same_prompts import prompt_ids
from assay.core.caveats import caveat
from assay.core.errors import DataError, SettingsError
from assay.core.progress import listening, report
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.model import Model


@method(
    gives=Circuit,
    cites="arXiv:2304.14997",
    cost="a pass of all examples for each edge that is tested, at the worst every edge",
    assumes="that an edge matters if, and only if, cutting it from what is left of the graph changes the metric",
    fails_when="several edges stand in for one another across receivers, or one works against the behaviour (see absolute)",
)
def acdc(
    model: Model,
    pairs: Pairs,
    *,
    tau: Annotated[float, "how much of the metric may be lost with an edge that goes, in the metric's own unit"],
    ablation: Annotated[Ablation, "what a cut edge carries in place of its sender's value"],
    metric: Annotated[
        AMetric, "what must not be lost: KL to the clean run ({'kind': 'kl', 'to': 'clean'}), logit_diff, …"
    ],
    absolute: Annotated[bool, "keep edges whose cut changes the metric either way, not only those that help"] = False,
    grouped: Annotated[Grouped, GROUPED] = False,
) -> Circuit:
    """Which edges are left when those with little effect are taken out one receiver after another."""
    if not tau > 0:
        raise SettingsError(
            f"tau={tau}: expected a number above 0; with 0 every edge that changes a last bit would stay."
        )
    graph, chosen = Graph.of(model, grouped=grouped), as_metric(metric)
    refuse_no_gap(model, pairs, ablation=ablation, metric=chosen)
    made = circuits_of(model, pairs, graph=graph, ablation=ablation, metrics=chosen)
    search = _Search(graph, made, tau, sign_of(chosen), absolute)
    for done in search.run():
        report(done, len(graph.receivers))
    mask = graph.prune(search.mask)
    left = "either way" if absolute else "lost"
    facts = [
        f"edges stay with which {tau:g} or more of {chosen.kind} is {left}; {int(mask.sum())} of {graph.edge_count:,} do",
        f"a cut edge carries {as_ablation(ablation)}",
        f"{search.tested:,} edges tested, {search.free:,} led nowhere any more",
        *graph.facts,
    ]
    if search.returned:
        facts.append(f"{search.returned} edges put back: together they cost tau more than the sum of each")
    if not mask.any():
        facts.append(caveat("no edge is left: tau is larger than any effect"))
    quantity = "metric lost when the edge is cut from what was left of the graph"
    edges = np.argwhere(np.asarray(graph.allowed))
    scores = Scores(graph.edges, search.effects[edges[:, 0], edges[:, 1]], quantity)
    return Circuit(graph, mask, scores, tuple(facts), found_on=prompt_ids(pairs))


@dataclass
class _Search:
    """The circuit as it stands, and what was found on the way."""

    graph: Graph
    made: ManyCircuits
    tau: float
    sign: float
    absolute: bool
    tested: int = 0
    free: int = 0
    returned: int = 0
    mask: np.ndarray = field(init=False)
    effects: np.ndarray = field(init=False)
    """What each edge's cut cost when it was tested; 0 for those that led nowhere."""

    def __post_init__(self) -> None:
        self.mask = np.array(self.graph.allowed)
        self.effects = np.zeros(self.mask.shape)

    def run(self) -> Iterator[int]:
        """Visit receivers from the logits backwards; yields how many are done."""
        (now,) = self._measure([self.mask])
        for done, receiver in enumerate(reversed(range(len(self.graph.receivers))), start=1):
            now = self._visit(receiver, now)
            yield done

    def _visit(self, receiver: int, now: float) -> float:
        """Take out what can go of the edges into a receiver; gives the metric afterwards."""
        edges = np.flatnonzero(self.mask[:, receiver])
        if not self._leads_on(receiver):
            self.free += len(edges)
            self.mask[:, receiver] = False
            return now
        self.tested += len(edges)
        lost = now - np.array(self._measure([self._without(receiver, np.array([edge])) for edge in edges]))
        self.effects[edges, receiver] = lost
        sizes = np.abs(lost) if self.absolute else lost
        order = np.argsort(sizes, kind="stable")
        going, alone = edges[order][: int((sizes < self.tau).sum())], sizes[order]
        while len(going):
            left = self._without(receiver, going)
            (after,) = self._measure([left])
            cost = abs(now - after) if self.absolute else now - after
            if cost < self.tau + max(0.0, float(alone[: len(going)].sum())):
                self.mask = left
                return after
            self.returned += len(going) - len(going) // 2
            going = going[: len(going) // 2]
        return now

    def _leads_on(self, receiver: int) -> bool:
        """Whether what a receiver feeds reaches the logits."""
        owners = self.graph.owners[receiver]
        return bool(owners[-1] or self.mask[owners[:-1]].any())

    def _without(self, receiver: int, senders: np.ndarray) -> np.ndarray:
        mask = self.mask.copy()
        mask[senders, receiver] = False
        return mask

    def _measure(self, masks: list[np.ndarray]) -> list[float]:
        """The metric of circuits, larger where the behaviour is stronger: means over examples."""
        with listening(None):
            values = next(iter(self.made.measure(torch.tensor(np.stack(masks))).values()))
        if not np.isfinite(values).all():
            raise DataError("the metric is not finite in some circuit: choose another, or look at the prompts.")
        return [float(value) for value in self.sign * values.mean(axis=1)]
