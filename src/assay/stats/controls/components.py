"""Controls of a localisation: other components of the same result, the same component in another layer.

They cost nothing: the method has scored all components already. A claim that a component matters says that others like it
matter less; the same number for random components, and for the same part of other layers, is what it must stand out from.
"""

from __future__ import annotations

import numpy as np

from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.stats.controls.control import Asking, Measure, control
from assay.stats.controls.vectors import directions_in, random_direction_again


def _rankings(asking: Asking) -> dict[str, Scores]:
    given = {} if asking.call is None else asking.call.given
    return {name: each for name, each in given.items() if isinstance(each, Scores)}


def _takes_a_ranking(asking: Asking) -> bool:
    return bool(_rankings(asking))


def _takes_a_direction(asking: Asking) -> bool:
    return asking.call is not None and bool(directions_in(asking.call))


@control("random_component", "components drawn at random, as many", reruns=_takes_a_ranking)
def random_component(asking: Asking, seed: int) -> Measure:
    """As many random cells. Where the method takes a ranking, it is run again with its scores in a random order."""
    rankings, rng = _rankings(asking), np.random.default_rng(seed)
    if rankings:
        return asking.again(**{name: _shuffled(each, rng) for name, each in rankings.items()})
    n = len(asking.cells.names)
    if n < 2:
        raise SettingsError("there is one number only: no other component to compare it with")
    return asking.measure(chosen=rng.choice(n, min(asking.k, n), replace=False).tolist())


@control("other_layer", "the same parts in other layers")
def other_layer(asking: Asking, seed: int) -> Measure:
    """For each of the best, the cell that says the same but for its layer, in a random other layer."""
    cells, rng = asking.cells, np.random.default_rng(seed)
    means = np.abs(cells.values) if asking.absolute else cells.values
    chosen = []
    for best in np.argsort(-means, kind="stable")[: asking.k]:
        alike = [
            i
            for i, (layer, rest) in enumerate(zip(cells.layers, cells.rests, strict=True))
            if rest == cells.rests[best] and layer is not None and layer != cells.layers[best]
        ]
        if not alike:
            raise SettingsError(f"{cells.names[best]} has no counterpart in another layer")
        chosen.append(int(rng.choice(alike)))
    return asking.measure(chosen=chosen)


@control(
    "random",
    "a random direction where the method takes one, else random components",
    reruns=lambda asking: _takes_a_ranking(asking) or _takes_a_direction(asking),
)
def random(asking: Asking, seed: int) -> Measure:
    """Whichever of both fits the method."""
    return random_direction_again(asking, seed) if _takes_a_direction(asking) else random_component(asking, seed)


def _shuffled(scores: Scores, rng: np.random.Generator) -> Scores:
    """The same numbers on other components."""
    order = rng.permutation(len(scores))
    rows = None if scores.per_example is None else scores.per_example[order]
    return Scores(scores.components, scores.values[order], f"{scores.quantity}, shuffled", rows)
