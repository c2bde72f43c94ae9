"""Control of what a method brings along: the same method on the same architecture before training."""

from __future__ import annotations

from assay.core.errors import SettingsError
from assay.engine.model import Model
from assay.engine.untrained import untrained
from assay.stats.controls.control import Asking, Measure, control
from assay.stats.controls.learned import learned_again


@control("untrained", "the same architecture with weights before training", reruns=True)
def untrained_weights(asking: Asking, seed: int) -> Measure:
    """The method on a freshly initialised copy, with directions that were found in it where it was handed such."""
    model = asking.model
    if not isinstance(model, Model):
        raise SettingsError(f"{asking.needed_call().name} was not called with a model of assay")
    fresh = untrained(model, seed=seed)
    return asking.again(model=fresh, **learned_again(asking.needed_call(), lambda _: {}, model=fresh))
