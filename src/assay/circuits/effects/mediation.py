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

Cost: at most three forward passes of all examples for each part, and two more; parts that fill a grid of layers and heads
are one sweep, of which the schedule computes what differs. Sources: Pearl 2001, arXiv:1301.2300; VanderWeele
2013, doi:10.1097/EDE.0b013e318281a64e; for networks: Mueller 2024, arXiv:2407.04690.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.effects.one_by_one import Place, held_from, one_by_one
from assay.circuits.effects.parts import ABLATION, Part, held, parts, replaced
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.core.claims import Claim
from assay.core.errors import DataError
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.edits import Edit

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
    chosen, value = parts(nodes), as_ablation(ablation)
    by = replaced(pairs, value, chosen)
    between = _checked(chosen, mediators)
    found = one_by_one(
        model, by, chosen, runs_of=partial(_runs, model, between), metric=as_metric(metric), at_once=AT_ONCE
    )
    total, direct, indirect = (found.clean - found.of(kind, chosen) for kind in EFFECTS[:3])
    rows = (total, direct, indirect, total - direct - indirect)
    data = xr.Dataset(
        {name: (("node", "example"), each) for name, each in zip(EFFECTS, rows, strict=True)}
        | {"clean": ("example", found.clean)},
        coords={"node": list(nodes)},
    )
    return Result(data, found.provenance.with_facts(*_facts(data, mediators, str(value))), found.cost)


def _checked(chosen: Sequence[Part], mediators: Sequence[str] | None) -> list[Part] | None:
    """The mediators, if they are named; each must come after every part."""
    if mediators is None:
        return None
    between = parts(mediators)
    for each in chosen:
        for mediator in between:
            if mediator.when <= each.when:
                raise DataError(
                    f"{mediator.name} does not come after {each.name}, so it can't mediate its effect: name later parts."
                )
    return between


def _runs(model: Model, between: Sequence[Part] | None, place: Place) -> dict[str, tuple[Edit, ...]]:
    """Where all later parts are held, what comes before is too, which changes nothing; then the part itself is set."""

    def mediating(source: str) -> tuple[Edit, ...]:
        return held_from(model, place.first, source) if between is None else held(between, source)

    return {
        "total": (place.ablate,),
        "direct": (*mediating("clean"), place.ablate),
        "indirect": (*mediating(place.run("total")), place.restore),
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
