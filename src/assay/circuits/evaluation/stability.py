"""Would other prompts, or another method, have given the same circuit?

- `circuit_stability`: examples are drawn anew with replacement, the circuit of the same size is taken from their scores, and
  the circuits are compared pair by pair. Jaccard 1 is the same circuit each time; what two random circuits of that size
  share is given beside it, since large circuits overlap by chance alone.
- `scores_agreement`: two methods' circuits at each size by Jaccard, and their scores by rank correlation.

Cost: no pass of the model: scores that are means over examples are averaged again. For a method whose scores are not (a
learned mask), `stability_of` finds the circuit again on each draw. Source: bootstrap stability as in arXiv:2510.00845.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
import xarray as xr
from scipy import stats

from assay.circuits.claims import COMPARED
from assay.circuits.evaluation.areas import FRACTIONS
from assay.circuits.graph import Graph
from assay.circuits.ranking import Mask, Select, rank
from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

FRACTION = "the size of the circuits, as a fraction of all scored edges or nodes"
ABSOLUTE = "whether parts are ranked by the size of their score, whatever its sign"
SELECT = "top: the highest scores anywhere; greedy: from the logits backwards"


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2510.00845",
    cost="none: the scores' values for each example are averaged again",
    assumes="scores that are means over examples, with the values of each example kept",
    fails_when="few examples: what was never drawn can't show",
    claim=COMPARED,
)
def circuit_stability(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    fraction: Annotated[float, FRACTION] = 0.01,
    absolute: Annotated[bool, ABSOLUTE] = True,
    select: Annotated[Select, SELECT] = "top",
    draws: Annotated[int, "how many times examples are drawn anew"] = 20,
    seed: Annotated[int, "which draws"] = 0,
) -> Result:
    """How alike the circuits are that other draws of the same examples give.

    `jaccard` (pair) between the circuits of each two draws; `to_found` (draw) with the circuit of all examples; `chance`
    (pair) between random sets of as many edges.
    """
    rows = scores.per_example
    if rows is None:
        raise DataError(
            "These scores kept no values for each example, so examples can't be drawn anew: use stability_of with the "
            "function that finds them."
        )
    graph, rng = Graph.naming(model, scores.components), np.random.default_rng(seed)
    averaged = (rows[:, rng.integers(0, rows.shape[1], rows.shape[1])].mean(axis=1) for _ in range(draws))
    size = _size(len(scores), fraction)
    drawn = [
        _circuit(graph, Scores(scores.components, mean, scores.quantity), size, absolute, select) for mean in averaged
    ]
    found = _circuit(graph, scores, size, absolute, select)
    return _compared(found, drawn, [_random_like(found, graph, rng) for _ in range(draws)])


def stability_of(
    find: Callable[[Pairs], Scores],
    pairs: Pairs,
    *,
    graph: Graph,
    fraction: float = 0.01,
    absolute: bool = True,
    select: Select = "top",
    draws: int = 10,
) -> Result:
    """The same for any method: `find` is called on each draw of the pairs. Cost: as many runs of it as draws, and one."""
    scores = find(pairs)
    size, rng = _size(len(scores), fraction), np.random.default_rng(0)
    found = _circuit(graph, scores, size, absolute, select)
    drawn = [_circuit(graph, find(pairs.bootstrap(seed)), size, absolute, select) for seed in range(draws)]
    return _compared(found, drawn, [_random_like(found, graph, rng) for _ in range(draws)])


@method(
    gives=Result,
    cites="arXiv:2504.13151",
    cost="none",
    assumes="two scores of the same edges or nodes",
    fails_when="most scores are noise around 0: the rank correlation of all is then that of the noise",
    claim=COMPARED,
)
def scores_agreement(
    model: Model,
    pairs: Pairs,
    *,
    first: Scores,
    second: Scores,
    fractions: Annotated[tuple[float, ...], "sizes of the circuits that are compared"] = FRACTIONS[:-1],
    absolute: Annotated[bool, ABSOLUTE] = True,
    select: Annotated[Select, SELECT] = "top",
) -> Result:
    """How far two methods find the same circuit.

    `jaccard` and `chance` (fraction) of the circuits; `rank_correlation` of all scores, and `rank_correlation_at`
    (fraction) of those that are in either circuit's first so many (Spearman's).
    """
    other = _aligned(second, first)
    graph = Graph.naming(model, first.components)
    sizes = [_size(len(first), fraction) for fraction in fractions]
    masks = [[rank(graph, each, absolute=absolute, select=select).circuit(k) for k in sizes] for each in (first, other)]
    rng = np.random.default_rng(0)
    random = [[_random_like(mask, graph, rng) for mask in row] for row in masks]
    a, b = (np.abs(each.values) if absolute else each.values for each in (first, other))
    tops = [np.union1d(np.argsort(-a, kind="stable")[:k], np.argsort(-b, kind="stable")[:k]) for k in sizes]
    data = xr.Dataset(
        {
            "jaccard": ("fraction", [jaccard(x, y) for x, y in zip(*masks, strict=True)]),
            "chance": ("fraction", [jaccard(x, y) for x, y in zip(*random, strict=True)]),
            "rank_correlation": ((), spearman(a, b)),
            "rank_correlation_at": ("fraction", [spearman(a[top], b[top]) for top in tops]),
        },
        coords={"fraction": list(fractions), "asked": ("fraction", sizes)},
    )
    return Result(data, Provenance.now(facts=[f"first: {first.quantity}", f"second: {second.quantity}"]))


def jaccard(first: Mask, second: Mask) -> float:
    """Edges in both over edges in either; 1 where both are empty."""
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 1.0


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of ranks; NaN where one of the two is constant or there are fewer than three."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def _compared(found: Mask, drawn: Sequence[Mask], random: Sequence[Mask]) -> Result:
    if len(drawn) < 2:
        raise DataError("Stability needs at least two draws to compare.")
    between = [jaccard(a, b) for a, b in combinations(drawn, 2)]
    data = xr.Dataset(
        {
            "jaccard": ("pair", between),
            "to_found": ("draw", [jaccard(found, each) for each in drawn]),
            "chance": ("pair", [jaccard(a, b) for a, b in combinations(random, 2)]),
            "edges": ((), int(found.sum())),
        }
    )
    facts = [
        f"{len(drawn)} draws: circuits of {int(found.sum())} edges share {np.mean(between):.2f} of their edges pair by pair, "
        f"random ones {float(data['chance'].mean()):.2f}"
    ]
    if not found.any():
        facts.append(caveat("the circuit is empty after pruning: empty circuits count as equal"))
    return Result(data, Provenance.now(facts=facts))


def _circuit(graph: Graph, scores: Scores, size: int, absolute: bool, select: Select) -> Mask:
    return rank(graph, scores, absolute=absolute, select=select).circuit(size)


def _size(items: int, fraction: float) -> int:
    if not 0 < fraction <= 1:
        raise DataError(f"A circuit's fraction must be above 0 and at most 1, not {fraction:g}.")
    return int(fraction * items)


def _random_like(mask: Mask, graph: Graph, rng: np.random.Generator) -> Mask:
    """As many edges, drawn from all that there can be; not pruned, or little of a small one would be left."""
    places = np.flatnonzero(graph.allowed)
    drawn = np.zeros(mask.shape, dtype=bool)
    drawn.reshape(-1)[rng.choice(places, size=int(mask.sum()), replace=False)] = True
    return drawn


def _aligned(scores: Scores, like: Scores) -> Scores:
    """The same scores in another's order."""
    if set(scores.components) != set(like.components):
        odd = sorted(set(scores.components) ^ set(like.components))
        raise DataError(f"The two scores are not of the same parts: {len(odd)} are in one only, such as {odd[0]}.")
    place = {name: i for i, name in enumerate(scores.components)}
    values = scores.values[[place[name] for name in like.components]]
    return Scores(like.components, values, scores.quantity)
