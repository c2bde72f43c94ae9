"""Estimates of parts at positions against exact ones: a random sample of places is patched, one by one.

Cost: one forward pass of all examples for each place of the sample, and three more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from assay.circuits.approximation import FEWEST, approximation_error, sampled
from assay.circuits.exact_effects import AT_ONCE
from assay.circuits.intervention import Intervention
from assay.circuits.measuring import reading
from assay.circuits.places import Part
from assay.core.caveats import caveat
from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

CHECK = "how many places, drawn at random, are patched exactly to tell the error (0: none, at least 3 otherwise)"
SEED = "which places are drawn for that"


def error_at_places(
    model: Model,
    made: Intervention,
    parts: Sequence[Part],
    *,
    effect: Float[np.ndarray, "part pos example"],
    at: Sequence[str | int],
    check: int,
    seed: int,
    absolute: bool = False,
) -> tuple[str, ...]:
    """How far estimates at the positions `at` are from exact ones, in words.

    Raises:
        SettingsError: a sample too small to say anything.
    """
    if check == 0:
        return (caveat("an estimate that was not compared with exact patching"),)
    if check < FEWEST:
        raise SettingsError(f"check={check}: expected 0, or at least {FEWEST} places to compare with exact patching.")
    places = {f"{part.name} at {pos}": (i, j) for i, part in enumerate(parts) for j, pos in enumerate(at)}
    chosen = sampled(list(places), check, seed)
    if len(chosen) < FEWEST:
        return (caveat(f"an estimate: {len(chosen)} places are too few to tell its error"),)
    exact = np.concatenate(
        [
            _exact(
                model, made, [(parts[i], at[j]) for i, j in map(places.__getitem__, chosen[start : start + AT_ONCE])]
            )
            for start in range(0, len(chosen), AT_ONCE)
        ]
    )
    known = Scores.over_examples(list(places), effect.reshape(len(places), -1), "estimated")
    wanted = Scores.over_examples(chosen, np.abs(exact) if absolute else exact, "exact")
    return approximation_error(known, wanted, absolute=absolute, seed=seed).facts()


def _exact(model: Model, made: Intervention, places: Sequence[tuple[Part, str | int]]) -> np.ndarray:
    """[place, example]: the exact score of each."""
    runs = {
        f"place {i}": Run(
            input=made.base, edits=tuple(made.replaced.edit(s, pos=pos, **part.where) for s in part.sites)
        )
        for i, (part, pos) in enumerate(places)
    }
    metrics = reading(made.metric, **{name: name for name in runs}, unchanged=made.base)
    every = {**made.replaced.runs, **runs}
    found = model.measure(
        Experiment(inputs=dict(made.replaced.inputs), runs=every, metrics=metrics, main="place 0"), batch=AT_ONCE
    ).data
    return np.stack([made.sign * (found[name].values - found["unchanged"].values) for name in runs])
