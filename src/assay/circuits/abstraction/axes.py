"""Alignments along axes that are there already: principal components, coordinates, features of a dictionary.

    pca_alignment      the first k principal components of what the place holds; nothing is trained
    dbm                coordinates chosen by a mask that is trained (DBM): of the site, or of its principal components
    feature_alignment  features of a dictionary chosen in the same way

They are rivals of a learned rotation (`das`), with fewer ways to go wrong. Sources: Huang et al. 2024, arXiv:2402.17700;
Mueller et al. 2025, arXiv:2504.13151; Csordás et al. 2021, arXiv:2010.02066 (masks).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.das import BASELINE, COST, FAILS, HOW
from assay.circuits.abstraction.interchange import HEAD, POSITIONS, SITES
from assay.circuits.abstraction.places import Places, Position
from assay.circuits.abstraction.search import Search
from assay.circuits.abstraction.spaces import Features, Masked, Subspace
from assay.circuits.abstraction.training import TRAINING, Annealing, Examples, Training
from assay.circuits.claims import SEARCHED
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.dictionary import read_dictionary
from assay.engine.model import Model

MASK = Annealing(cost=0.1, hottest=1.0, coldest=0.01)
MASKED = "how the mask hardens, and what its size costs"


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2402.17700",
    cost="three forward passes of all examples for each place",
    assumes="that the variable is among the directions in which the place varies most",
    fails_when="other things vary more, as they mostly do",
    claim=SEARCHED,
)
def pca_alignment(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    head: Annotated[int | None, HEAD] = None,
    rank: Annotated[int, Field(ge=1), "how many components"] = 1,
    training: Annotated[Training, "the size of batches, and the seed"] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """The first principal components of what bases and sources hold, swapped: a baseline that has seen no label."""

    def make(examples: Examples, seed: int) -> Subspace:
        found = components(examples.activations())
        if rank > found.shape[1]:
            raise SettingsError(f"{rank} components are asked for, and there are {found.shape[1]}.")
        return Subspace(found[:, :rank])

    places = Places.of(model, sites, positions, head)
    return Search("pca_alignment", make, places, training).run(model, data, baseline=baseline)


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2402.17700", "arXiv:2504.13151"),
    cost=COST,
    assumes="that the variable lies along coordinates of the site, or along its principal components",
    fails_when=f"the variable is spread over all coordinates; {FAILS}",
    claim=SEARCHED,
)
def dbm(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    head: Annotated[int | None, HEAD] = None,
    basis: Annotated[Literal["site", "pca"], "coordinates of the site, or of its principal components"] = "site",
    annealing: Annotated[Annealing, MASKED] = MASK,
    training: Annotated[Training, HOW] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """Coordinates chosen by a differential binary mask for each variable, with its IIA on held-out settings.

    As `das`, with `mask` [entry] in place of the basis where the coordinates are the site's own.
    """

    def make(examples: Examples, seed: int) -> Masked:
        axes = components(examples.activations()) if basis == "pca" else None
        ends = (annealing.hottest, annealing.coldest)
        return Masked(examples.width, cost=annealing.cost, temperature=ends, basis=axes)

    places = Places.of(model, sites, positions, head)
    return Search("dbm", make, places, training).run(model, data, baseline=baseline)


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2402.17700", "arXiv:2504.13151"),
    cost=COST,
    assumes="that the variable is some of the dictionary's features",
    fails_when=f"the dictionary misses it, or splits it over many features; {FAILS}",
    claim=SEARCHED,
)
def feature_alignment(
    model: Model,
    data: Counterfactuals,
    *,
    sites: Annotated[tuple[str, ...], SITES],
    dictionary: Annotated[str, "the folder of a dictionary that was made for the site"],
    positions: Annotated[tuple[Position, ...] | None, POSITIONS] = None,
    annealing: Annotated[Annealing, MASKED] = MASK,
    training: Annotated[Training, HOW] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """Features of a dictionary chosen by a mask for each variable; what the dictionary misses stays the base's.

    As `das`, with `mask` over features in place of the basis.
    """
    read = read_dictionary(dictionary)

    def make(examples: Examples, seed: int) -> Features:
        if read.decoder.shape[1] != examples.width:
            raise SettingsError(
                f"the dictionary reads {read.decoder.shape[1]} entries, and the site has {examples.width}: it was made for "
                "another site or model."
            )
        return Features(read, cost=annealing.cost, temperature=(annealing.hottest, annealing.coldest))

    places = Places.of(model, sites, positions, None)
    search = Search("feature_alignment", make, places, training, {"dictionary": dictionary})
    return search.run(model, data, baseline=baseline)


def components(values: Float[Tensor, "row d"]) -> Float[Tensor, "d k"]:
    """Principal components as orthonormal columns, the largest first; as many as rows and entries allow."""
    wide = values.double()
    right: Tensor = torch.linalg.svd(wide - wide.mean(0), full_matrices=False).Vh
    return right.T.to(torch.promote_types(values.dtype, torch.float32))
