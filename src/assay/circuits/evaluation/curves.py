"""How faithful are the circuits that scores give, over sizes: MIB's CPR and CMD, log axes, sizes, spread, baselines.

From scores come rankings: `signed` (what helps most first: MIB's CPR is read off it), `absolute` (what matters most first,
whichever way: MIB's CMD) and `random` ones. At each fraction the best edges (or nodes) are taken and pruned; every edge
outside carries its ablated value. Everything is measured on prompts that the scores were not made on, if you give such.

Cost: a circuit's run for each ranking and size; circuits that come twice are run once. Sources: Mueller et al. 2025,
arXiv:2504.13151 (MIB); Wang et al. 2022, arXiv:2211.00593; Miller et al. 2024, arXiv:2407.08734.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation
from assay.circuits.claims import CURVE
from assay.circuits.evaluation.areas import FRACTIONS, has_gap
from assay.circuits.evaluation.held_out import described
from assay.circuits.evaluation.summary import summarised
from assay.circuits.graph import Graph
from assay.circuits.measuring import METRIC, AMetric, as_metric, sign_of
from assay.circuits.ranking import Mask, Ranking, Select, rank
from assay.circuits.running import CircuitRuns, run_circuits
from assay.circuits.same_prompts import made_on, overlap
from assay.core.caveats import caveat
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import metric as metrics
from assay.experiments.metrics import Metric

Cluster = Literal["none", "template"]
ABLATION = "what edges outside a circuit carry instead of their sender's value"
CLUSTER = "what the bootstrap draws anew: single examples, or whole templates"
OVERSHOOT = 1.1
"""A share beyond this is more than noise above the whole model."""


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2504.13151", "arXiv:2211.00593", "arXiv:2407.08734"),
    cost="(2 + random circuits) × sizes forward passes of all examples through cut edges, and two more",
    assumes="scores that were made on other prompts than these",
    fails_when="the ablation itself breaks the model: then no circuit but the whole recovers anything; try another ablation",
    claim=CURVE,
)
def circuit_curves(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    select: Annotated[Select, "top: the highest scores anywhere; greedy: from the logits backwards"] = "top",
    fractions: Annotated[tuple[float, ...], "sizes, as fractions of all scored edges or nodes"] = FRACTIONS,
    random_circuits: Annotated[int, "how many random rankings are measured beside"] = 2,
    cluster: Annotated[Cluster, CLUSTER] = "none",
) -> Result:
    """What circuits of growing size recover of the behaviour, by signed, absolute and random rankings.

    `kept` (ranking, fraction, example) is the metric with a circuit, `correct` whether it still answers right, `kl` how far
    its output is from the whole model's in nats; `whole` and `empty` (example) the references. `recovered` (ranking,
    fraction, bound) is the ratio of means, `mean_of_ratios` the mean of each example's own, `spread` (…, quantile) how they
    scatter. `summary` (ranking, quantity, bound): cpr, cmd, both on a log axis, and the edges at which 80, 90 and 95 % are
    recovered for good. The coordinate `edges` counts after pruning.
    """
    graph, measure = graph_of(model, scores), as_metric(metric)
    rankings = _rankings(graph, scores, select, random_circuits)
    sizes = [int(fraction * len(rankings["signed"])) for fraction in fractions]
    masks = [[ranking.circuit(size) for size in sizes] for ranking in rankings.values()]
    runs, place = run_each(
        model, pairs, [mask for row in masks for mask in row], graph=graph, ablation=ablation, metric=measure
    )
    data = _dataset(runs, place, masks, pairs, sign_of(measure))
    data = data.assign_coords(ranking=list(rankings), fraction=list(fractions), asked=("fraction", sizes))
    clusters = [example.template for example in pairs] if cluster == "template" else None
    data = summarised(data, clusters=clusters)
    seen = overlap(made_on(scores), pairs, what="the scores were made")
    facts = [*seen, *runs.facts, f"scores: {scores.quantity}", f"measured on {described(pairs)}", *_facts(data)]
    facts += [*rankings["signed"].ties(sizes), *rankings["absolute"].ties(sizes)]
    return Result(data, runs.provenance.with_facts(*facts), runs.cost)


def graph_of(model: Model, scores: Scores) -> Graph:
    """The model's graph, with shared keys and values, and whole mixers, counted as the scores' names do."""
    return Graph.naming(model, scores.components)


def run_each(
    model: Model, pairs: Pairs, masks: Sequence[Mask], *, graph: Graph, ablation: Ablation, metric: Metric
) -> tuple[CircuitRuns, list[int]]:
    """The metric `kept`, whether the answer is `correct`, and `kl` to the whole model, of different circuits once each;
    and for each mask which of them it is."""
    first: dict[bytes, int] = {}
    place = [first.setdefault(np.packbits(mask).tobytes(), len(first)) for mask in masks]
    different = [masks[place.index(i)] for i in range(len(first))]
    read: list[Any] = [
        metric.model_copy(update={"name": "kept"}),
        metrics.accuracy(name="correct"),
        metrics.kl(to="clean", name="kl"),
    ]
    runs = run_circuits(model, pairs, different, graph=graph, ablation=ablation, metrics=read)
    return runs, place


def _rankings(graph: Graph, scores: Scores, select: Select, count: int) -> dict[str, Ranking]:
    found = {name: rank(graph, scores, absolute=name == "absolute", select=select) for name in ("signed", "absolute")}
    for i in range(count):
        order = np.random.default_rng(i).permutation(len(scores)).astype(float)
        shuffled = Scores(scores.components, order, "random")
        found[f"random {i}"] = rank(graph, shuffled, absolute=False, select=select)
    return found


def _dataset(
    runs: CircuitRuns, place: Sequence[int], masks: Sequence[Sequence[Mask]], pairs: Pairs, sign: float
) -> xr.Dataset:
    shape = (len(masks), len(masks[0]), len(pairs))
    dims = ("ranking", "fraction", "example")
    edges = [[int(mask.sum()) for mask in row] for row in masks]
    return xr.Dataset(
        {
            "kept": (dims, sign * runs["kept"][place].reshape(shape)),
            "correct": (dims, runs["correct"][place].reshape(shape) > 0.5),
            "kl": (dims, runs["kl"][place].reshape(shape)),
            "whole": ("example", sign * runs.whole["kept"]),
            "empty": ("example", sign * runs.empty["kept"]),
            "whole_correct": ("example", runs.whole["correct"] > 0.5),
            "empty_correct": ("example", runs.empty["correct"] > 0.5),
            "empty_kl": ("example", runs.empty["kl"]),
        },
        coords={
            "edges": (("ranking", "fraction"), np.array(edges)),
            "template": ("example", [example.template for example in pairs]),
        },
    )


def _facts(data: xr.Dataset) -> list[str]:
    def shown(ranking: str, quantity: str, digits: int = 2) -> str:
        value, low, high = data["summary"].sel(ranking=ranking, quantity=quantity).values
        return f"{value:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"

    facts = [
        f"CPR {shown('signed', 'cpr')} (signed ranking; log axis {shown('signed', 'cpr_log')})",
        f"CMD {shown('absolute', 'cmd')} (absolute ranking; log axis {shown('absolute', 'cmd_log')})",
        f"edges at 90 % recovery: signed {shown('signed', 'size_90', 0)}, absolute {shown('absolute', 'size_90', 0)}",
    ]
    random = [str(name) for name in data["ranking"].values if str(name).startswith("random")]
    if random:
        means = data["summary"].sel(ranking=random, bound="value").mean("ranking")
        cpr, cmd = (float(means.sel(quantity=quantity)) for quantity in ("cpr", "cmd"))
        facts.append(f"random circuits: CPR {cpr:z.2f}, CMD {cmd:z.2f}")
    most = float(data["recovered"].sel(ranking="signed", bound="value").max())
    if most > OVERSHOOT:
        facts.append(
            caveat(f"some circuit recovers {most:.2f}, more than the whole model: parts that work against are cut")
        )
    lacking = int((~has_gap(data["whole"].values, data["empty"].values)).sum())
    if lacking:
        facts.append(
            caveat(f"{lacking} of {data.sizes['example']} prompts have no gap of their own: no ratio of theirs")
        )
    return facts
