"""Reading prompts along directions: does what was found on some prompts tell others apart?

The prompts should share no wording and no name with those that the directions were found on; the split `test` does not.

Cost: one forward pass of both prompts of each pair, up to the last site that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from assay.core.claims import Claim
from assay.core.direction import Directions
from assay.core.errors import DataError
from assay.core.provenance import Cost, Provenance
from assay.core.registry import method
from assay.core.result import INFLUENCES, Result
from assay.core.sites import SiteName
from assay.data.pairs import Pairs
from assay.data.relabel import What
from assay.directions.activations import activations
from assay.directions.labels import Prompts, labelled_prompts
from assay.directions.measuring import auroc, by_wording, right
from assay.engine.model import Model


@method(
    gives=Result,
    cites="arXiv:1610.01644",
    cost="one forward pass of both prompts of each pair",
    assumes="prompts that share no wording and no name with those that the directions were found on",
    fails_when="a label is given away by words that both sets of prompts share (see bag_of_words)",
    claim=Claim("representation", variable="correct", pairs=True),
)
def read_directions(
    model: Model,
    pairs: Pairs,
    *,
    directions: Directions,
    label: Annotated[What, "what is told apart: label, answer, side, or auto"] = "auto",
) -> Result:
    """Do directions found elsewhere tell these prompts apart, at each layer: share right, and AUROC for two labels.

    `correct` is the share of a pair's prompts that get their label, `auroc` the chance that of two prompts the one with the
    second label reads higher; both have a value for each pair, whose mean is the measure. `majority` is the share of the most
    frequent label.
    """
    prompts = labelled_prompts(pairs, label=label, pos=directions.pos or "end", known=directions.labels)
    sites = tuple(dict.fromkeys(directions.sites))
    readings = read(model, prompts, directions)
    correct = right(_guesses(readings, directions, sites), prompts)
    variables: dict[str, Any] = {"correct": as_answers(correct, prompts)}
    if len(prompts.labels) == 2:
        variables["auroc"] = np.stack([auroc(each, prompts) for each in readings])
    place, places = _places(sites)
    data = xr.Dataset(
        {name: ((place, "example"), each) for name, each in variables.items()},
        coords={place: places},
        attrs={INFLUENCES: ["auroc"]},
    )
    data["majority"] = ((), np.bincount(prompts.y).max() / len(prompts.y))
    best = int(correct.mean(axis=1).argmax())
    told = ", ".join(f"{name} {share:.2f}" for name, share in by_wording(correct[best], prompts).items())
    facts = (f"read at {directions.pos or 'end'}", *directions.facts[:1], f"{sites[best]} by wording: {told}")
    return made(model, data, facts=facts, rows=len(prompts.tokens))


def read(model: Model, prompts: Prompts, directions: Directions) -> Float[np.ndarray, "direction prompt"]:
    """The reading of each prompt along each direction.

    Raises:
        DataError: the model's sites have another width than the directions.
    """
    sites = list(dict.fromkeys(directions.sites))
    values = activations(model, prompts, sites)
    if values.shape[-1] != directions.vectors.shape[1]:
        raise DataError(
            f"These directions have {directions.vectors.shape[1]} coordinates, {sites[0]} has {values.shape[-1]}: "
            "they were found in another model."
        )
    return np.stack([each.read(values[sites.index(each.site)]) for each in directions])


def as_answers(correct: Float[np.ndarray, "*rows pair"], prompts: Prompts) -> np.ndarray:
    """Yes or no for each pair where one prompt of it is read, so that shares get their own kind of interval."""
    return correct.astype(bool) if len(prompts.tokens) == prompts.n else correct


def made(model: Model, data: xr.Dataset, *, facts: Sequence[str], rows: int) -> Result:
    """A result with where it comes from."""
    source = model.network.source.name
    origin = Provenance.now(model_fingerprint=model.fingerprint, model_source=source, facts=tuple(facts))
    return Result(data, origin, Cost(rows=rows))


def _guesses(
    readings: Float[np.ndarray, "direction prompt"], directions: Directions, sites: Sequence[str]
) -> Int[np.ndarray, "site prompt"]:
    if len(directions) == len(sites):
        return (readings > directions.thresholds[:, None]).astype(int)
    of = np.array(directions.sites)
    return np.stack([readings[of == site].argmax(axis=0) for site in sites])


def _places(sites: Sequence[str]) -> tuple[str, list[Any]]:
    """The axis of the sites: layers, where they are one site of several layers."""
    named = [SiteName.parse(site) for site in sites]
    layers = [each.layer for each in named]
    if len({each.name for each in named}) == 1 and None not in layers and len(set(layers)) == len(layers):
        return "layer", layers
    return "site", list(sites)
