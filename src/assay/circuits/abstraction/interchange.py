"""Interchange interventions with whole sites: does all that a place holds carry the variable?

The place takes the source's value entirely. A place that carries other variables too gives what the causal model says
only where those don't matter: a low IIA of the whole place with a high one of a part of it (`das`) is what a variable that
shares its place looks like. Sources: Geiger et al. 2021, arXiv:2106.02997; Vig et al. 2020, arXiv:2004.12265.
"""

from __future__ import annotations

from typing import Annotated

from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.measuring import Answered, answered_edits
from assay.circuits.abstraction.places import Places, Position
from assay.circuits.abstraction.table import Table
from assay.circuits.abstraction.untrained import untrained
from assay.circuits.claims import WHOLE
from assay.core.progress import report
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model

SITES = "sites to look at; a name without a layer is taken at every layer"
POSITIONS = "named positions or indices, one by one; nothing means all positions of the site at once"
HEAD = "one head, at sites that have heads"
SPLIT = "the examples that are measured"


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2106.02997", "arXiv:2004.12265"),
    cost="two forward passes of all examples for each site and position: one more for the untrained network",
    assumes="that a variable has its place to itself",
    fails_when="several variables share a place: then a part of it must be found (das)",
    claim=WHOLE,
)
def interchange(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    head: Annotated[int | None, HEAD] = None,
    split: Annotated[str, SPLIT] = "test",
    baseline: Annotated[bool, "whether the same is measured in a network with shuffled weights"] = True,
    seed: Annotated[int, "of the shuffled weights"] = 0,
) -> Result:
    """IIA of whole places, at every layer and position, beside chance and an untrained network.

    `iia`, `iia_low`, `iia_high` (Wilson, 95 %), `logit_fraction` and `untrained` over (variable, layer, pos); `chance`
    and `does_task` (the share of bases that the network answers rightly) over variable; `correct` for each example.
    """
    places, other = Places.of(model, sites, positions, head), untrained(model, seed=seed) if baseline else None
    table = Table(places)
    for done, variable in enumerate(data.variables):
        some = data.of(variable, split=split)
        table.add(variable, _whole(model, some, places), some)
        if other is not None:
            found = _whole(other, some, places)
            table.compare(variable, "untrained", found.correct.mean(-1), found.cost)
        report(done + 1, len(data.variables))
    return table.result(attrs={"method": "interchange"})


def _whole(model: Model, data: Counterfactuals, places: Places) -> Answered:
    return answered_edits(model, data, [(cell,) for cell in places.cells])
