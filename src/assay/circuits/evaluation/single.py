"""One circuit, measured: what it recovers, how surely, on which templates, and what random circuits of its size do.

Cost: a circuit's run for it and for each random circuit, and two references. Sources: Wang et al. 2022, arXiv:2211.00593;
Miller et al. 2024, arXiv:2407.08734 (ratios of means and means of ratios differ; so do templates).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation
from assay.circuits.circuit import Circuit
from assay.circuits.claims import CIRCUIT
from assay.circuits.evaluation.areas import has_gap, mean_of_ratios, per_example_ratios
from assay.circuits.evaluation.curves import ABLATION, run_each
from assay.circuits.evaluation.held_out import described
from assay.circuits.evaluation.summary import BOUNDS, QUANTILES, bounds, recovered, spread
from assay.circuits.graph import Graph
from assay.circuits.measuring import METRIC, AMetric, as_metric, sign_of
from assay.circuits.ranking import Mask
from assay.circuits.same_prompts import overlap
from assay.core.caveats import caveat
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.stats.bootstrap import Units

ASSUMES = "a circuit that was chosen on other prompts than these"
FAILS = "the ablation itself breaks the model, so that no circuit but the whole recovers anything"


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2211.00593", "arXiv:2407.08734"),
    cost="(1 + random circuits) forward passes of all examples through cut edges, and two more",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=CIRCUIT,
)
def evaluate_circuit(
    model: Model,
    pairs: Pairs,
    *,
    circuit: Circuit,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    random_circuits: Annotated[int, "how many random circuits of as many edges are measured beside"] = 5,
    seed: Annotated[int, "of the random circuits"] = 0,
) -> Result:
    """What one circuit recovers of the behaviour on these prompts.

    `kept`, `correct`, `kl` (circuit, example), circuits being `found` and `random 0…`; `whole`, `empty` (example);
    `recovered` (circuit, bound) with its bootstrap interval, `mean_of_ratios` (circuit), `spread` (circuit, quantile),
    `recovered_in` (template) of the found circuit; `edges` (circuit) counts after pruning.
    """
    own, measure = on_model(model, circuit), as_metric(metric)
    counted = own.pruned()
    masks = [own.mask, *random_like(counted, random_circuits, np.random.default_rng(seed))]
    runs, place = run_each(model, pairs, masks, graph=own.graph, ablation=ablation, metric=measure)
    sign, names = sign_of(measure), ["found", *(f"random {i}" for i in range(random_circuits))]
    kept, whole, empty = sign * runs["kept"][place], sign * runs.whole["kept"], sign * runs.empty["kept"]
    value, drawn = recovered(kept, whole, empty, units=Units(len(pairs)))
    templates = np.array([example.template for example in pairs])
    data = xr.Dataset(
        {
            "kept": (("circuit", "example"), kept),
            "correct": (("circuit", "example"), runs["correct"][place] > 0.5),
            "kl": (("circuit", "example"), runs["kl"][place]),
            "whole": ("example", whole),
            "empty": ("example", empty),
            "recovered": (("circuit", "bound"), bounds(value, drawn.T)),
            "mean_of_ratios": ("circuit", mean_of_ratios(kept, whole, empty)),
            "spread": (("circuit", "quantile"), spread(per_example_ratios(kept, whole, empty))),
            "recovered_in": ("each_template", _by_template(kept[0], whole, empty, templates)),
            "edges": ("circuit", [int(mask.sum()) for mask in (counted.mask, *masks[1:])]),
        },
        coords={
            "circuit": names, "bound": list(BOUNDS), "quantile": list(QUANTILES),
            "template": ("example", templates), "each_template": list(dict.fromkeys(templates.tolist())),
        },
    )  # fmt: skip
    share, low, high = data["recovered"].values[0]
    facts = [
        *overlap(circuit.found_on, pairs), *circuit.facts, *idle_edges(own), *runs.facts,
        f"measured on {described(pairs)}",
        f"{counted.edge_count:,} of {own.graph.edge_count:,} edges recover {share:z.2f} [{low:z.2f}, {high:z.2f}] of the "
        "metric; "
        f"{float(data['correct'][0].mean()):.0%} of answers right, KL {float(data['kl'][0].mean()):.3g} nats",
    ]  # fmt: skip
    if random_circuits:
        facts.append(f"random circuits of that size recover at most {float(value[1:].max()):z.2f}")
    return Result(data, runs.provenance.with_facts(*facts), runs.cost)


def on_model(model: Model, circuit: Circuit) -> Circuit:
    """The circuit on the model's own graph."""
    return circuit.on(Graph.naming(model, circuit.graph.receivers))


def idle_edges(circuit: Circuit) -> list[str]:
    """What to keep in mind of a circuit that is empty, or that has edges on no path from the embedding to the logits."""
    kept = circuit.pruned().edge_count
    if not circuit.edge_count:
        return [caveat("the circuit is empty: every edge is cut")]
    if kept < circuit.edge_count:
        idle = circuit.edge_count - kept
        return [caveat(f"{idle:,} edges lie on no path from the embedding to the logits: they are not counted")]
    return []


def random_like(circuit: Circuit, count: int, rng: np.random.Generator) -> list[Mask]:
    """Random circuits of as many edges that hang together: edges in random order until enough are left after pruning."""
    graph, places = circuit.graph, np.flatnonzero(circuit.graph.allowed)
    found = []
    for _ in range(count):
        order = rng.permutation(places)
        low, high = circuit.edge_count, len(order)
        while low < high:  # the fewest edges of this order of which at least as many are left
            middle = (low + high) // 2
            enough = graph.prune(_first(order, middle, graph)).sum() >= circuit.edge_count
            low, high = (low, middle) if enough else (middle + 1, high)
        found.append(graph.prune(_first(order, low, graph)))
    return found


def _first(order: np.ndarray, count: int, graph: Graph) -> Mask:
    mask = np.zeros(graph.allowed.shape, dtype=bool)
    mask.reshape(-1)[order[:count]] = True
    return mask


def _by_template(kept: np.ndarray, whole: np.ndarray, empty: np.ndarray, templates: np.ndarray) -> list[float]:
    """The ratio of means of each template by itself; NaN where it has no gap."""
    found = []
    for name in dict.fromkeys(templates.tolist()):
        here = np.flatnonzero(templates == name)
        gap = float(whole[here].mean() - empty[here].mean())
        enough = has_gap(whole[here].mean(), empty[here].mean())
        found.append(float(kept[here].mean() - empty[here].mean()) / gap if enough else float("nan"))
    return found
