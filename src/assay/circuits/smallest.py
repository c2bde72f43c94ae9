"""The smallest circuit that keeps a behaviour, chosen on some prompts and judged on others.

Scores say in which order edges are taken; how many is decided on prompts that the scores were not made on, and what that
circuit keeps is measured on a third set: chosen and measured on the same prompts it would look better than it is. Beside it
are measured circuits of as many edges from a rival's scores, from a baseline's, and random ones.

Cost: a circuit's run for each size that is tried (about ten), then one for each circuit judged, and two references each.
Sources: Wang et al. 2022, arXiv:2211.00593; Mueller et al. 2025, arXiv:2504.13151.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation
from assay.circuits.circuit import Circuit
from assay.circuits.claims import CHOSEN, CIRCUIT
from assay.circuits.evaluation.areas import ratio_of_means
from assay.circuits.evaluation.curves import ABLATION, OVERSHOOT, graph_of, run_each
from assay.circuits.evaluation.held_out import described
from assay.circuits.evaluation.single import ASSUMES, FAILS, random_like
from assay.circuits.evaluation.stability import ABSOLUTE, SELECT, jaccard
from assay.circuits.evaluation.summary import BOUNDS, bounds, recovered
from assay.circuits.graph import Graph
from assay.circuits.measuring import METRIC, AMetric, as_metric, sign_of
from assay.circuits.ranking import Mask, Ranking, Select, rank
from assay.circuits.running import run_circuits
from assay.circuits.same_prompts import made_on, overlap
from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.stats.bootstrap import Units

GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BETWEEN = 2
"""Sizes tried between one that is not enough and one that is."""


@method(
    intervenes=True,
    gives=Scores,
    cites=("arXiv:2211.00593", "arXiv:2504.13151"),
    cost="about eleven forward passes of all examples through cut edges, and four more",
    assumes="scores that were made on other prompts than these",
    fails_when=FAILS,
    claim=CHOSEN,
)
def smallest_circuit(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    keep: Annotated[float, "the share of the behaviour that must be recovered"] = 0.9,
    absolute: Annotated[bool, ABSOLUTE] = True,
    select: Annotated[Select, SELECT] = "top",
    fractions: Annotated[
        tuple[float, ...], "sizes that are tried first, as fractions of all scored edges or nodes"
    ] = GRID,
) -> Scores:
    """The edges of the smallest circuit that recovers the asked share on these prompts, with their scores.

    Smallest: it and all larger ones that were tried recover so much. Two sizes between the last that does not and the first
    that does are tried too. Edges are counted after pruning.
    """
    graph = graph_of(model, scores)
    ranking = rank(graph, scores, absolute=absolute, select=select)
    tried: dict[int, tuple[float, Mask]] = {}
    for sizes in ([max(1, int(f * len(ranking))) for f in sorted(fractions)], None):
        sizes = _between(tried, keep) if sizes is None else sizes
        masks = [ranking.circuit(size) for size in sizes]
        if masks:
            shares = _shares(model, pairs, masks, graph=graph, ablation=ablation, metric=metric)
            tried |= dict(zip(sizes, zip(shares, masks, strict=True), strict=True))
    size = first_for_good(tried, keep)
    share, mask = tried[size]
    facts = [
        *overlap(made_on(scores), pairs, what="the scores were made"),
        f"{int(mask.sum()):,} of {graph.edge_count:,} edges recover {share:z.2f} on {described(pairs)}",
        "tried: " + ", ".join(f"{int(m.sum()):,} edges {s:z.2f}" for _, (s, m) in sorted(tried.items())),
        *ranking.ties([size]),
    ]
    if share < keep:
        facts.insert(0, caveat(f"no circuit that was tried recovers {keep:g}: the largest is given"))
    if max(s for s, _ in tried.values()) > OVERSHOOT:
        facts.append(
            caveat("some circuit recovers more than the whole model has: parts that work against the answer are cut")
        )
    names, table = graph.names(mask), Circuit(graph, mask, scores).score_table()
    values = {name: float(table[graph.index(name)]) for name in names}
    if not values:
        raise DataError("the smallest circuit has no edges left after pruning: take larger sizes, or other scores.")
    return Scores.of({n: 0.0 if np.isnan(v) else v for n, v in values.items()}, scores.quantity, facts)


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2211.00593", "arXiv:2407.08734"),
    cost="(3 + random circuits) forward passes of all examples through cut edges, and two more",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=CIRCUIT,
)
def judge_circuit(
    model: Model,
    pairs: Pairs,
    *,
    chosen: Scores,
    rival: Scores,
    baseline: Scores,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    absolute: Annotated[bool, ABSOLUTE] = True,
    random_circuits: Annotated[int, "how many random circuits of as many edges are measured beside"] = 3,
) -> Result:
    """What a chosen circuit recovers on these prompts, beside as many edges by a rival's scores, a baseline's, and at random.

    `kept`, `correct`, `kl` (circuit, example), circuits being found, rival, baseline, random 0…; `whole`, `empty` (example);
    `recovered` (circuit, bound); `edges` (circuit) after pruning; `shared` (circuit) the Jaccard overlap with the found one;
    `size` and `fraction` of the found one.
    """
    graph, measure = graph_of(model, chosen), as_metric(metric)
    own = Circuit.of_edges(graph, chosen.components)
    others = [of_size(rank(graph, each, absolute=absolute), own.edge_count) for each in (rival, baseline)]
    masks = [own.mask, *others, *random_like(own, random_circuits, np.random.default_rng(0))]
    runs, place = run_each(model, pairs, masks, graph=graph, ablation=ablation, metric=measure)
    sign, names = sign_of(measure), ["found", "rival", "baseline", *(f"random {i}" for i in range(random_circuits))]
    kept, whole, empty = sign * runs["kept"][place], sign * runs.whole["kept"], sign * runs.empty["kept"]
    value, drawn = recovered(kept, whole, empty, units=Units(len(pairs)))
    data = xr.Dataset(
        {
            "kept": (("circuit", "example"), kept),
            "correct": (("circuit", "example"), runs["correct"][place] > 0.5),
            "kl": (("circuit", "example"), runs["kl"][place]),
            "whole": ("example", whole),
            "empty": ("example", empty),
            "recovered": (("circuit", "bound"), bounds(value, drawn.T)),
            "edges": ("circuit", [int(mask.sum()) for mask in masks]),
            "shared": ("circuit", [jaccard(own.mask, mask) for mask in masks]),
            "size": ((), own.edge_count),
            "fraction": ((), own.edge_count / graph.edge_count),
        },
        coords={"circuit": names, "bound": list(BOUNDS)},
    )
    shown = ", ".join(f"{name} {share:z.2f}" for name, share in zip(names, value, strict=True))
    seen = overlap(made_on(chosen), pairs)
    facts = [
        *seen,
        *runs.facts,
        f"measured on {described(pairs)}",
        f"{own.edge_count:,} edges each; recovered: {shown}",
    ]
    if len(value) > 3 and value[3:].max() >= value[0]:
        facts.append(caveat("a random circuit of the same size recovers as much as the chosen one"))
    return Result(data, runs.provenance.with_facts(*facts), runs.cost)


def of_size(ranking: Ranking, edges: int) -> Mask:
    """The smallest circuit of a ranking that has at least so many edges after pruning, or all of it."""
    low, high = 0, len(ranking)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if ranking.circuit(middle).sum() >= edges else (middle + 1, high)
    return ranking.circuit(low)


def _shares(
    model: Model, pairs: Pairs, masks: Sequence[Mask], *, graph: Graph, ablation: Ablation, metric: AMetric
) -> list[float]:
    measure = as_metric(metric).model_copy(update={"name": "kept"})
    runs = run_circuits(model, pairs, masks, graph=graph, ablation=ablation, metrics=[measure])
    sign = sign_of(measure)
    found = ratio_of_means(sign * runs["kept"], sign * runs.whole["kept"], sign * runs.empty["kept"])
    return [float(share) for share in found]


def first_for_good(tried: dict[int, tuple[float, Mask]], keep: float) -> int:
    """The smallest size from which on every size that was tried recovers enough; the largest if none does."""
    best = max(tried)
    for size in sorted(tried, reverse=True):
        if tried[size][0] < keep:
            break
        best = size
    return best


def _between(tried: dict[int, tuple[float, Mask]], keep: float) -> list[int]:
    """Sizes at equal factors between the last that is not enough and the first that is."""
    enough = first_for_good(tried, keep)
    short = max((size for size in tried if size < enough), default=0)
    if tried[enough][0] < keep or short < 1:
        return []
    factor = (enough / short) ** (1 / (BETWEEN + 1))
    return sorted({round(short * factor**i) for i in range(1, BETWEEN + 1)} - set(tried))
