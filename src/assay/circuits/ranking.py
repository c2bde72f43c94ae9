"""From scores to circuits: which edges (or nodes) are kept at each size.

- `top`: the highest scores, wherever they are.
- `greedy`: from the logits backwards, always the best edge into what is already in (MIB's choice for circuits that must
  hang together); an edge is reached only once what it feeds is in.

Both give an order, and the circuit of size n is its first n. Dangling edges, on no path from `embed` to `logits`, are then
pruned, so a circuit may have fewer edges than were asked for: what is reported is the number after pruning.

Scores of nodes make circuits too: a node that is kept keeps all its outgoing edges, and `embed` is kept unless it has a
score itself. Ties are broken by forward order, and said. Cost: sorting; greedy 3 s for 1.6 million edges.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from assay.circuits.graph import ARROW, Graph
from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.protocols import Scores

Select = Literal["top", "greedy"]
Mask = Bool[np.ndarray, "sender receiver"]


@dataclass(frozen=True)
class Ranking:
    """What is taken first, second, …: edges by their place in the flat mask, or senders."""

    graph: Graph
    order: Int[np.ndarray, " item"]
    keys: np.ndarray
    """The score that each was ranked by, in the order of `order`."""
    of_nodes: bool
    always: Int[np.ndarray, " node"]
    """Senders without a score, which are in every circuit (nodes only)."""

    def __len__(self) -> int:
        return len(self.order)

    def circuit(self, size: int) -> Mask:
        """The first `size` edges or nodes as a circuit, pruned."""
        if not 0 <= size <= len(self):
            raise DataError(f"A circuit of {size} out of {len(self)} scored edges or nodes can't be taken.")
        mask = np.zeros(self.graph.allowed.shape, dtype=bool)
        if self.of_nodes:
            mask[self.always] = True
            mask[self.order[:size]] = True
            return self.graph.prune(mask & self.graph.allowed)
        mask.reshape(-1)[self.order[:size]] = True
        return self.graph.prune(mask)

    def ties(self, sizes: Sequence[int]) -> list[str]:
        """Where a size cuts through equal scores, so that the order of the graph and not the score decides."""
        cut = [size for size in sizes if 0 < size < len(self) and self.keys[size - 1] == self.keys[size]]
        if len(cut) > 1:
            shown = ", ".join(map(str, cut))
            return [caveat(f"the cuts at {shown} go through equal scores: forward order decided")]
        tied = [int((self.keys == self.keys[size]).sum()) for size in cut]
        return [
            caveat(f"the cut at {size} goes through {count} equal scores: forward order decided")
            for size, count in zip(cut, tied, strict=True)
        ]


def rank(graph: Graph, scores: Scores, *, absolute: bool, select: Select = "top") -> Ranking:
    """The order in which scores put edges (or nodes) into a circuit.

    Raises:
        DataError: names that the graph does not have, edges and nodes mixed, greedy for nodes.
    """
    of_nodes = _level(scores)
    if of_nodes:
        if select == "greedy":
            raise DataError(
                "Scores of nodes can't be taken greedily from the logits: only edges have an order of reach."
            )
        return _rank_nodes(graph, scores, absolute)
    width = len(graph.receivers)
    places = np.array([s * width + r for s, r in map(graph.index, scores.components)])
    keys = np.abs(scores.values) if absolute else scores.values
    if select == "top":
        by_key = np.lexsort((places, -keys))
        return Ranking(graph, places[by_key], keys[by_key], False, np.array([], dtype=int))
    table = np.full(graph.allowed.shape, np.nan)
    table.reshape(-1)[places] = keys
    order = _greedy(graph, table)
    return Ranking(graph, order, table.reshape(-1)[order], False, np.array([], dtype=int))


def _level(scores: Scores) -> bool:
    edges = sum(ARROW in name for name in scores.components)
    if not scores.components:
        raise DataError("There are no scores: a circuit needs a score for each edge or node.")
    if edges not in (0, len(scores)):
        raise DataError(f"{edges} of {len(scores)} scores are of edges, the others of nodes: give one kind.")
    return edges == 0


def _rank_nodes(graph: Graph, scores: Scores, absolute: bool) -> Ranking:
    places = np.array([graph.sender(name) for name in scores.components])
    keys = np.abs(scores.values) if absolute else scores.values
    by_key = np.lexsort((places, -keys))
    always = np.setdiff1d(np.arange(len(graph.senders)), places)
    return Ranking(graph, places[by_key], keys[by_key], True, always)


def _greedy(graph: Graph, table: np.ndarray) -> np.ndarray:
    """Places in the flat mask, in the order in which a search from the logits takes them; unscored edges never."""
    width = len(graph.receivers)
    read_by = [np.flatnonzero(graph.owners[:, node]) for node in range(len(graph.senders) + 1)]
    open_edges: list[tuple[float, int]] = []
    seen_receivers: set[int] = set()
    in_circuit: set[int] = set()

    def enter(node: int) -> None:
        in_circuit.add(node)
        for r in map(int, read_by[node]):
            if r not in seen_receivers:
                seen_receivers.add(r)
                for s in np.flatnonzero(~np.isnan(table[:, r])):
                    heapq.heappush(open_edges, (-float(table[s, r]), int(s) * width + r))

    enter(len(graph.senders))
    order = []
    while open_edges:
        _, place = heapq.heappop(open_edges)
        order.append(place)
        if place // width not in in_circuit:
            enter(place // width)
    return np.array(order, dtype=int)
