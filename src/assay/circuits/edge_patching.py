"""Exact edge patching: one edge at a time carries its sender's ablated value, and everything after it follows.

    score(u → v) = m(clean) − m(v reads u's ablated value)

The exact counterpart of edge attribution, for chosen edges: all of a small graph, those into a few receivers, those out of
a few senders. What one edge's cut shows is the edge alone: two that stand in for one another both score nothing.

Cost: two passes of all examples, and for each edge and example the layers from its receiver's on. Sources: Wang et al.
2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023, arXiv:2304.05969; as a score of all edges, MIB, arXiv:2504.13151.
"""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.edge_exactness import exact_effects
from assay.circuits.graph import ARROW, Graph
from assay.circuits.layers import GROUPED, Grouped
from assay.circuits.measuring import METRIC, AMetric, as_metric, sign_of
from assay.circuits.running import circuits_of, refuse_no_gap
from assay.core.errors import DataError, SettingsError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model

REPLACED = "what a cut edge carries in place of its sender's value"


@method(
    intervenes=True,
    gives=Scores,
    cites=("arXiv:2211.00593", "arXiv:2304.05969"),
    cost="two forward passes of all examples, and for each edge the layers from its receiver's on",
    assumes="clean and counterfactual prompts that line up token by token and differ in what is studied and nothing else",
    fails_when="another edge takes over what the cut one carried, or several are needed together: each scores too little",
)
def edge_patching(
    model: Model,
    pairs: Pairs,
    *,
    ablation: Annotated[Ablation, REPLACED],
    metric: Annotated[AMetric, METRIC],
    senders: Annotated[str, "which senders: a regular expression that matches the whole name, such as L3\\.H.*"] = ".*",
    receivers: Annotated[str, "which receivers: a regular expression, such as L[5-9]\\..*\\.q or logits"] = ".*",
    grouped: Annotated[Grouped, GROUPED] = False,
) -> Scores:
    """Which edges matter: each of the chosen ones cut by itself, exactly."""
    graph, chosen = Graph.of(model, grouped=grouped), as_metric(metric)
    edges = _edges(graph, senders, receivers)
    refuse_no_gap(model, pairs, ablation=ablation, metric=chosen)
    made = circuits_of(model, pairs, graph=graph, ablation=ablation, metrics=chosen)
    found = exact_effects(made, edges)
    if not np.isfinite(found.values).all():
        raise DataError(f"the metric {chosen.kind} is not finite with some edge cut: choose another.")
    names = [f"{graph.senders[s]}{ARROW}{graph.receivers[r]}" for s, r in edges]
    facts = (
        f"a cut edge carries {as_ablation(ablation)}",
        f"{len(edges):,} of {graph.edge_count:,} edges, each cut by itself",
        *graph.facts,
        f"engine: {found.engine}",
    )
    return Scores.over_examples(names, sign_of(chosen) * found.values, "metric lost when the edge is cut", facts)


def _edges(graph: Graph, senders: str, receivers: str) -> np.ndarray:
    """[edge, (sender, receiver)] of the edges between parts whose names match."""
    sides = []
    for what, pattern, names in (("senders", senders, graph.senders), ("receivers", receivers, graph.receivers)):
        try:
            side = np.array([re.fullmatch(pattern, name) is not None for name in names])
        except re.error as error:
            raise SettingsError(f"{what}={pattern!r} is no regular expression: {error}.") from error
        if not side.any():
            raise SettingsError(f"{what}={pattern!r} matches none: they are called {', '.join(names[:3])}, ….")
        sides.append(side)
    found = np.argwhere(np.asarray(graph.allowed) & sides[0][:, None] & sides[1][None])
    if not len(found):
        raise SettingsError(f"no edge leads from {senders!r} to {receivers!r}: senders come before receivers.")
    return found
