"""Every approximate method measures itself: a random sample of parts is patched exactly, and the error is a fact.

Cost: one forward pass of all examples for each part of the sample, of which the schedule computes what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from assay.circuits.approximation import FEWEST, approximation_error, sampled
from assay.circuits.exact_effects import effects
from assay.circuits.intervention import Intervention
from assay.circuits.places import Part
from assay.core.caveats import caveat
from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.engine.model import Model

CHECK = "how many parts, drawn at random, are patched exactly to tell the error (0: none, at least 3 otherwise)"
SEED = "which parts are drawn for that"


def against_exact(
    model: Model,
    made: Intervention,
    parts: Sequence[Part],
    *,
    scores: Scores,
    check: int,
    seed: int,
    absolute: bool = False,
) -> Scores:
    """The scores with how far they are from exact ones, for a sample of the parts.

    Raises:
        SettingsError: a sample too small to say anything.
    """
    if check == 0:
        return replace(scores, facts=(*scores.facts, caveat("an estimate that was not compared with exact patching")))
    if check < FEWEST:
        raise SettingsError(f"check={check}: expected 0, or at least {FEWEST} parts to compare with exact patching.")
    chosen = set(sampled(scores.components, check, seed))
    some = [part for part in parts if part.name in chosen]
    if len(some) < FEWEST:
        note = caveat(f"an estimate: {len(some)} parts are too few to tell its error")
        return replace(scores, facts=(*scores.facts, note))
    exact = effects(model, made, some)
    sizes = np.abs(exact.values) if absolute else exact.values  # a mean of sizes is compared with a mean of sizes
    wanted = Scores.over_examples(exact.names, sizes, "exact")
    error = approximation_error(scores, wanted, absolute=absolute, seed=seed)
    return replace(scores, facts=(*scores.facts, *error.facts()))
