"""How much of a part's effect goes through given later parts, and how much goes past them.

With m the metric, X a part with its clean value x or its ablated value x′, and M the mediators, which take the values M(x)
or M(x′) that X gives them:

    total        = m(x, M(x)) − m(x′, M(x′))
    direct       = m(x, M(x)) − m(x′, M(x))       X ablated, mediators held at their clean values
    indirect     = m(x, M(x)) − m(x, M(x′))       X clean, mediators as if X were ablated
    interaction  = total − direct − indirect      what is lost only when both change

These are Pearl's total, natural direct and natural indirect effects of the ablation, with the sign turned so that a part
that helps is positive; the decomposition into three is VanderWeele's (pure direct, pure indirect, mediated interaction).
Pearl's own two-term identity holds too: total = direct + (indirect + interaction).

In a model where every effect adds up, the interaction is 0. Where it is large, "the direct effect" depends on what the
mediators do meanwhile, and one number hides that. Mediators are held jointly, so paths between them are cut as well.

Cost: three forward passes of all examples for each part, and two more. Sources: Pearl 2001, arXiv:1301.2300; VanderWeele
2013, doi:10.1097/EDE.0b013e318281a64e; for networks: Mueller 2024, arXiv:2407.04690.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.effects.parts import ABLATION, Part, ablated, held, later, measured, parts, replaced
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.replacement import Replacement
from assay.core.claims import Claim
from assay.core.errors import DataError
from assay.core.provenance import Cost
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.runs import Run

AT_ONCE = 4
"""Parts in one experiment: three runs of each."""
EFFECTS = ("total", "direct", "indirect", "interaction")


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:1301.2300", "doi:10.1097/EDE.0b013e318281a64e", "arXiv:2407.04690"),
    cost="three forward passes of all examples for each part, and two more",
    assumes="that holding mediators at another run's values leaves the model in states that it can meet",
    fails_when="what is called direct also goes through parts that were not named as mediators",
    claim=Claim("localisation", variable="total", absolute=True),
)
def mediated_effects(
    model: Model,
    pairs: Pairs,
    *,
    nodes: Annotated[tuple[str, ...], "the parts whose effect is taken apart: heads, attention layers, MLPs, embed"],
    mediators: Annotated[tuple[str, ...] | None, "parts that come later; nothing means all that do"] = None,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Result:
    """Total, natural direct and natural indirect effect of parts on the metric, and their interaction.

    `total`, `direct`, `indirect`, `interaction` (node, example): positive where the part's clean value helps. `clean`
    (example) is the metric of the unchanged run.
    """
    chosen, value, measure = parts(nodes), as_ablation(ablation), as_metric(metric)
    by = replaced(pairs, value, chosen)
    between = {each.name: _between(model, each, mediators) for each in chosen}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in EFFECTS}
    cost, clean, found = Cost(), np.array([]), None
    for start in range(0, len(chosen), AT_ONCE):
        runs: dict[str, Run] = {}
        for each in chosen[start : start + AT_ONCE]:
            runs |= _runs(each, between[each.name], by)
        values, found = measured(model, by, runs, metric=measure)
        cost, clean = cost + found.cost, values["clean"]
        for each in chosen[start : start + AT_ONCE]:
            total, direct, indirect = (clean - values[f"{kind} {each.name}"] for kind in EFFECTS[:3])
            for name, row in zip(EFFECTS, (total, direct, indirect, total - direct - indirect), strict=True):
                rows[name].append(row)
    assert found is not None  # at least one part: `parts` saw to it
    data = xr.Dataset(
        {name: (("node", "example"), np.stack(each)) for name, each in rows.items()} | {"clean": ("example", clean)},
        coords={"node": list(nodes)},
    )
    return Result(data, found.provenance.with_facts(*_facts(data, mediators, str(value))), cost)


def _between(model: Model, each: Part, mediators: Sequence[str] | None) -> list[Part]:
    if mediators is None:
        return later(model, each)
    chosen = parts(mediators)
    for mediator in chosen:
        if mediator.when <= each.when:
            raise DataError(
                f"{mediator.name} does not come after {each.name}, so it can't mediate its effect: name later parts."
            )
    return chosen


def _runs(each: Part, between: Sequence[Part], by: Replacement) -> dict[str, Run]:
    changed = ablated([each], by)
    total = f"total {each.name}"
    return {
        total: Run(input="clean", edits=changed),
        f"direct {each.name}": Run(input="clean", edits=(*changed, *held(between, "clean"))),
        f"indirect {each.name}": Run(input="clean", edits=held(between, total)),
    }


def _facts(data: xr.Dataset, mediators: Sequence[str] | None, ablation: str) -> list[str]:
    means = data[list(EFFECTS)].mean("example")
    worst = str(data["node"].values[int(np.abs(means["interaction"].values).argmax())])
    total, inter = (float(means[name].sel(node=worst)) for name in ("total", "interaction"))
    between = "all later parts" if mediators is None else ", ".join(mediators)
    return [
        f"ablation: {ablation}, at all positions; mediators: {between}",
        "total = direct + indirect + interaction, each what ablation loses of the metric",
        f"the largest interaction is {worst}'s: {inter:z.2f} of a total effect of {total:z.2f}",
    ]
