"""Self-repair: what an ablation loses before later parts respond, and after.

Four runs of each ablated part, with m the metric; "held" means every later attention and MLP writes what it writes in the
clean run, "scale" the number that the final norm divides by:

    m₁  part ablated, later parts held, scale held        before anything responds
    m₂  part ablated, later parts held                    only the final norm responds
    m₃  part ablated, scale held                          only later parts respond
    m₄  part ablated                                      everything responds

    before = m(clean) − m₁,  after = m(clean) − m₄,  repaired = before − after = m₄ − m₁
    by_norm = m₄ − m₃,  by_parts = m₃ − m₁          of what is repaired, as Rushing & Nanda part it
    by_norm_first = m₂ − m₁                         the norm's share in the other order: with no later part responding

`repaired` above 0 is the Hydra effect: later parts make up for what is gone. Below 0 they make it worse, since they were
fed by it. Parts of the same layer's attention do not respond to one another. Where the part is in the last layer, only the
norm can respond. In a model without a final norm nothing is due to it, and a fact says so.

Cost: at most four forward passes of all examples for each part, and two more; parts that fill a grid of layers and heads are
one sweep, of which the schedule computes what differs. Sources: McGrath et al. 2023, arXiv:2307.15771; Rushing
& Nanda 2024, arXiv:2402.15390.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import xarray as xr

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.effects.one_by_one import Place, held_from, one_by_one
from assay.circuits.effects.parts import ABLATION, parts, replaced
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.edits import Edit

AT_ONCE = 4
"""Parts in one experiment: four runs of each."""
SCALE = "final_norm_scale"
KINDS = ("nothing", "norm", "parts", "all")


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2307.15771", "arXiv:2402.15390"),
    cost="four forward passes of all examples for each part, and two more",
    assumes="that what later parts wrote in the clean run is what they would have written had they not seen the ablation",
    fails_when="the ablated value is far from any that the model meets: later parts then respond to the oddity, not the loss",
    claim=Claim("localisation", variable="repaired", absolute=True),
)
def self_repair(
    model: Model,
    pairs: Pairs,
    *,
    nodes: Annotated[tuple[str, ...], "the parts to ablate, one at a time: heads, attention layers, MLPs"],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Result:
    """What ablating each part loses before and after the rest of the model responds, and what the response is due to.

    All (node, example), in units of the metric: `before`, `after`, `repaired`, `by_parts`, `by_norm`,
    `by_norm_first`; `clean` (example) is the unchanged run's.
    """
    chosen, measure = parts(nodes), as_metric(metric)
    by = replaced(pairs, as_ablation(ablation), chosen)
    found = one_by_one(model, by, chosen, runs_of=partial(_runs, model), metric=measure, at_once=AT_ONCE)
    clean, (nothing, norm, others, everything) = found.clean, (found.of(kind, chosen) for kind in KINDS)
    measures = {
        "before": clean - nothing,
        "after": clean - everything,
        "repaired": everything - nothing,
        "by_parts": others - nothing,
        "by_norm": everything - others,
        "by_norm_first": norm - nothing,
    }
    data = xr.Dataset(
        {name: (("node", "example"), value) for name, value in measures.items()} | {"clean": ("example", clean)},
        coords={"node": list(nodes)},
    )
    facts = _facts(data, str(as_ablation(ablation)))
    if (why := model.why_not(SCALE)) is not None:
        facts.append(caveat(f"the final norm's scale is not held, so nothing is put down to it: {why}"))
    return Result(data, found.provenance.with_facts(*facts), found.cost)


def _runs(model: Model, place: Place) -> dict[str, tuple[Edit, ...]]:
    """What may respond in each run: nothing, the final norm, later parts, all."""
    rest = held_from(model, place.first, "clean")
    scale: tuple[Edit, ...] = () if model.why_not(SCALE) else (edit.freeze(SCALE, "clean"),)
    holds: dict[str, tuple[Edit, ...]] = {"nothing": (*rest, *scale), "norm": rest, "parts": scale, "all": ()}
    return {kind: (*each, place.ablate) for kind, each in holds.items()}


def _facts(data: xr.Dataset, ablation: str) -> list[str]:
    means = data.mean("example")
    lost, repaired = float(means["before"].sum()), float(means["repaired"].sum())
    facts = [
        f"ablation: {ablation}, at all positions",
        f"over {data.sizes['node']} parts: {lost:z.2f} is lost before anything responds, {repaired:z.2f} of it comes back, "
        f"{float(means['by_norm'].sum()):z.2f} through the final norm's scale",
    ]
    worse = [str(name) for name, value in zip(data["node"].values, means["repaired"].values, strict=True) if value < 0]
    if worse:
        facts.append(
            caveat(f"without {', '.join(worse[:5])} later parts lose more: they were fed by it, not backing it up")
        )
    return facts
