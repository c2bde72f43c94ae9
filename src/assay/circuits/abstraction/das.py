"""Distributed alignment search: a variable as a subspace that is learned, of a fixed width (DAS) or a learned one.

A rotation of a place is trained so that swapping its first k dimensions between two runs gives the label that the causal
model gives when the variable's value is swapped. With an expressive enough map anything can be found in anything
(arXiv:2401.12631): the map here is linear and of a fixed width, and the same search in a network that has learned nothing
stands beside it. Sources: Geiger et al. 2023, arXiv:2303.02536; Wu et al. 2023, arXiv:2305.08809 (boundless).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.interchange import HEAD, POSITIONS, SITES
from assay.circuits.abstraction.places import Places, Position
from assay.circuits.abstraction.search import Search
from assay.circuits.abstraction.spaces import Bounded, Rotated
from assay.circuits.abstraction.training import TRAINING, Annealing, Examples, Training
from assay.circuits.claims import SEARCHED
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model

BOUNDLESS = Annealing(cost=0.5, hottest=50.0, coldest=0.1)
WIDEST = 128
HOW = "how long, how fast, from which seed"
BASELINE = "whether the same search is made in a network with shuffled weights"
COST = (
    "epochs × the passes after the site, forwards and backwards, for each variable and place; twice with the baseline"
)
ASSUMES = "that the variable is a linear subspace of the place, the same for all examples"
FAILS = (
    "the width is large for the number of examples; the network doesn't do the task; or the subspace works through a path "
    "that the network itself doesn't use (illusion_checks)"
)


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2303.02536",
    cost=COST,
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=SEARCHED,
)
def das(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    head: Annotated[int | None, HEAD] = None,
    rank: Annotated[int, Field(ge=1), "the subspace's dimensions"] = 1,
    training: Annotated[Training, HOW] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """A subspace of fixed rank for each variable at every layer and position, with its IIA on held-out settings.

    As `interchange`, and: `random` (a random subspace of that width), `train_iia`, `epochs`, `width`, and `basis`
    [entry, direction]; `alignment_of` makes it an edit.
    """

    def make(examples: Examples, seed: int) -> Rotated:
        _fits(rank, examples.width)
        return Rotated(examples.width, rank, seed=seed)

    places = Places.of(model, sites, positions, head)
    return Search("das", make, places, training).run(model, data, baseline=baseline)


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2305.08809",
    cost=COST,
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=SEARCHED,
)
def boundless_das(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    head: Annotated[int | None, HEAD] = None,
    most: Annotated[int | None, "the widest subspace; nothing means the place's size, or 128"] = None,
    annealing: Annotated[Annealing, "how the boundary hardens, and what width costs"] = BOUNDLESS,
    training: Annotated[Training, HOW] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """As `das`, with the subspace's width learned too: a soft boundary among its dimensions hardens over training.

    The temperature starts at `hottest`, or half the width where that is less: hotter, no boundary is felt.
    """

    def make(examples: Examples, seed: int) -> Bounded:
        widest = min(examples.width, WIDEST) if most is None else most
        _fits(widest, examples.width)
        ends = (annealing.hottest, annealing.coldest)
        return Bounded(examples.width, widest, seed=seed, cost=annealing.cost, temperature=ends)

    places = Places.of(model, sites, positions, head)
    return Search("boundless_das", make, places, training).run(model, data, baseline=baseline)


def _fits(rank: int, width: int) -> None:
    if not 1 <= rank <= width:
        raise SettingsError(f"a subspace of {rank} dimensions in a place of {width}: expected from 1 to {width}.")
