"""Joint ablation: what is lost when several parts are ablated together, beside what each loses alone.

Parts that back each other up lose little alone and much together (an OR); parts of one chain lose about as much together as
one of them alone (an AND). The difference joint − Σ single is the interaction of all of them.

Cost: one forward pass of all examples for the set and one for each part, and three more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation, AnyAblation, Optimal, as_ablation
from assay.circuits.exact_effects import effects
from assay.circuits.intervention import Intervention, intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric, reading
from assay.circuits.node_patching import ABLATION, ASSUMES, CITES
from assay.circuits.optimal import learned
from assay.circuits.places import Part, parts_named
from assay.circuits.replacement import Replacement
from assay.core.claims import Claim
from assay.core.errors import DataError
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Patch


@method(
    intervenes=True,
    gives=Result,
    cites=(*CITES, "arXiv:2409.09951"),
    cost="one forward pass of all examples for the set, one for each part, and three more",
    assumes=ASSUMES,
    fails_when="replaced values are ones that the model never meets together",
    claim=Claim("localisation", variable="joint"),
)
def ablate_set(
    model: Model,
    pairs: Pairs,
    *,
    parts: Annotated[
        tuple[str, ...], "the parts that are ablated together, of any granularity: L3.H2, L5.mlp, L4.N17, …"
    ],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Result:
    """What the behaviour loses when a set of parts is ablated together, and when each is ablated alone.

    `joint` (example) and `single` (component, example) are what is lost, in the metric's unit; `clean` and `corrupt`
    (example) the unchanged runs' metric.
    """
    chosen, measured, asked = _distinct(model, parts), as_metric(metric), as_ablation(ablation)
    made = intervene(model, pairs, chosen, ablation=asked, direction="noise", metric=measured)
    single = effects(model, made, chosen)
    together = _together(model, made, chosen, asked)
    base, joint = single.clean, _joint(model, made, together, chosen)
    data = xr.Dataset(
        {
            "joint": (("example",), joint),
            "single": (("component", "example"), single.values),
            "clean": (("example",), base),
            "corrupt": (("example",), single.corrupt),
        },
        coords={"component": single.names},
    )
    alone = float(single.values.mean(axis=1).sum())
    fact = f"lost together {float(np.mean(joint)):z.3g}, the sum of what each loses alone {alone:z.3g}"
    return Result(data, single.provenance.with_facts(*single.facts, fact), single.cost)


def _joint(model: Model, made: Intervention, replaced: Replacement, parts: Sequence[Part]) -> np.ndarray:
    """The score of several parts that are replaced together, for each example."""
    runs = {**replaced.runs, "set": Run(input=made.base, edits=_edits(replaced, parts))}
    metrics = reading(made.metric, changed="set", unchanged=made.base)
    found = model.measure(Experiment(inputs=dict(replaced.inputs), runs=runs, metrics=metrics, main="set"))
    difference: np.ndarray = made.sign * (found.data["changed"].values - found.data["unchanged"].values)
    return difference


def _together(model: Model, made: Intervention, parts: Sequence[Part], ablation: AnyAblation) -> Replacement:
    """Optimal constants are learned again: those of parts ablated alone are not the best for the set."""
    if isinstance(ablation, Optimal):
        return learned(model, made.pairs, [parts], ablation=ablation, metric=made.metric)[0]
    return made.replaced


def _edits(replaced: Replacement, parts: Sequence[Part]) -> list[Patch]:
    """One edit for each site and axis."""
    places: dict[tuple[str, str | None], list[int]] = {}
    for part in parts:
        axis = next(iter(part.where), None)
        for site in part.sites:
            places.setdefault((site, axis), []).extend(part.where.values())
    return [replaced.edit(site, **({axis: index} if axis else {})) for (site, axis), index in places.items()]


def _distinct(model: Model, names: Sequence[str]) -> tuple[Part, ...]:
    if not names:
        raise DataError("an empty set of parts changes nothing: name at least one, such as L3.H2.")
    if twice := next((name for name in names if list(names).count(name) > 1), None):
        raise DataError(f"{twice!r} is in the set twice.")
    return parts_named(model, names)
