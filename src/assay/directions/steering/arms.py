"""What a direction is compared with when it is added: the opposite, random directions, words in the prompt.

Strengths are multiples of the vector as it is (`vector`), or of the mean length that the site's vectors have on these prompts
where it is added (`residual`), the first token left out: 0.2 then adds a fifth of that length, at any layer and to any model.
Random directions have each vector's own length, so they are added at the same strengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np

from assay.core.direction import Direction, Directions
from assay.core.errors import SettingsError
from assay.core.result import Result
from assay.data.example import Side
from assay.data.pairs import Pairs
from assay.directions.edits import add
from assay.directions.steering.measuring import At
from assay.directions.steering.places import norms
from assay.engine.model import Model
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Input
from assay.experiments.positions import Pos
from assay.stats.controls.predictions import SEPARATOR, instructed
from assay.stats.controls.vectors import random_direction, wrong_sign

Unit = Literal["residual", "vector"]
UNIT = "what a strength of 1 is: the site's mean length on these prompts (residual), or the vector as it is (vector)"
STRENGTHS = "how much of the vector is added; what a strength of 1 is says unit"


def scaled(
    model: Model, pairs: Pairs, direction: Directions, *, unit: Unit, at: Pos, side: Side = "corrupt"
) -> Directions:
    """The directions with vectors that are one unit of strength long. Cost: a pass of the prompts for `residual`.

    Raises:
        SettingsError: a vector of length 0 points nowhere.
    """
    if unit == "vector":
        return direction
    lengths = np.linalg.norm(direction.vectors, axis=1)
    if not lengths.all():
        raise SettingsError(f"{direction.names[int(lengths.argmin())]} has length 0: it points nowhere.")
    read = norms(list(direction.sites), side, at)
    found = model.measure(Experiment(inputs={side: pairs.as_inputs()[side]}, metrics=read, main=side))
    sizes = np.array([_mean(found, site) for site in direction.sites])
    return direction.with_vector(direction.vectors * (sizes / lengths)[:, None])


def check_strengths(strengths: Sequence[float]) -> None:
    """Refuse strengths that are none, or one twice.

    Raises:
        SettingsError: the list is empty or repeats one.
    """
    if not strengths or len(set(strengths)) < len(strengths):
        raise SettingsError(f"strengths {list(strengths)} make no sense: expected at least one, each once.")


def opposite(direction: Directions) -> Directions:
    """The directions turned round."""
    return direction.with_vector(wrong_sign(direction.vectors))


def at_random(direction: Directions, draw: int) -> Directions:
    """Another direction of the same length at each site, the same at all of them."""
    return direction.with_vector(random_direction(direction.vectors, seed=draw))


def adding(arms: Mapping[str, Directions]) -> dict[str, At]:
    """An edit for each direction of each arm, by `arm name`."""
    return {named(arm, each.name): partial(_add, each) for arm, found in arms.items() for each in found}


def named(arm: str, direction: str) -> str:
    """The name of an arm's edit."""
    return f"{arm} {direction}"


def _add(direction: Direction, pos: Pos) -> Edit:
    return add(direction, units="vector", pos=pos)


def after_words(pairs: Pairs, instruction: str, model: Model, *, side: Side = "corrupt") -> Input:
    """The prompts of one side after an instruction, with their answers."""
    told: Pairs = instructed(pairs, instruction, model)
    return told.as_inputs()[side]


def words(instruction: str, model: Model) -> list[int]:
    """The instruction and what parts it from a prompt, in tokens."""
    return list(model.tokens(instruction + SEPARATOR).rows[0])


def _mean(found: Result, site: str) -> float:
    return float(found.data[f"unedited norm {site}"].mean())
