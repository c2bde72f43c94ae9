"""Control of what a method brings along: the same method on the same architecture before training."""

from __future__ import annotations

from assay.core.errors import SettingsError
from assay.engine.model import Model
from assay.engine.untrained import untrained
from assay.stats.controls.control import Asking, Measure, control


@control("untrained", "the same architecture with weights before training", reruns=True)
def untrained_weights(asking: Asking, seed: int) -> Measure:
    """The method on a freshly initialised copy."""
    model = asking.model
    if not isinstance(model, Model):
        raise SettingsError(f"{asking.needed_call().name} was not called with a model of assay")
    return asking.again(model=untrained(model, seed=seed))
