"""GradDrop: gradients with one layer at a time left out, so that paths which cancel show one by one."""

from __future__ import annotations

import numpy as np

from assay.circuits.intervention import Intervention
from assay.circuits.places import Part
from assay.core.errors import SettingsError, SiteError
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.edits import Edit


def droppable(model: Model) -> list[int]:
    """The layers that are left out in turn.

    Raises:
        SettingsError: there is one only.
    """
    layers = sorted({site.layer for site in model.network.sites_named("resid_post") if site.layer is not None})
    if len(layers) < 2:
        raise SettingsError("GradDrop leaves out one layer at a time: this model has one only. Say grad_drop=False.")
    return layers


def dropped(model: Model, made: Intervention, layer: int) -> list[Edit]:
    """Edits that hold what a layer adds at what it is anyway: its value stays, and no gradient goes through it."""
    names = (f"L{layer}.attn_out", f"L{layer}.mlp_out")
    held = [name for name in names if model.why_not(name) is None]
    if not held:
        raise SiteError(f"GradDrop needs what layer {layer} adds to the residual stream: {model.why_not(names[0])}.")
    return [edit.freeze(name, source=made.base) for name in held]


def shares(parts: tuple[Part, ...], layer: int, layers: int) -> np.ndarray:
    """What the size of each part's estimate without a layer counts: 1/(L − 1), nothing for the parts of that layer.

    Residual streams, which no layer owns, are divided by L.
    """
    owned = [not part.granularity.startswith("resid") for part in parts]
    return np.array(
        [0.0 if own and part.layer == layer else 1 / (layers - own) for part, own in zip(parts, owned, strict=True)]
    )
