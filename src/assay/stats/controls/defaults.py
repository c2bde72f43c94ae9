"""Which controls a claim needs, by its kind: what runs when nobody asks for any in particular.

    localisation      these components carry the behaviour
    representation    this direction or probe reads a property
    steering          adding this direction changes what the model does
    feature           this feature of a dictionary means something
    monitor           this signal tells inputs or outputs apart
    training data     these training examples made the behaviour

The reasons are the field's usual ways to be wrong: any large part scores, any large probe fits, any large push changes
behaviour, texts give labels away by their words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from assay.core.calls import Call
from assay.core.claims import Claim as Declared
from assay.core.claims import Unclaimed
from assay.core.errors import SettingsError, nearest
from assay.core.protocols import Scores

Claim = Literal["localisation", "representation", "steering", "feature", "monitor", "training data"]

DEFAULTS: Mapping[Claim, tuple[str, ...]] = {
    "localisation": ("random", "other_layer", "untrained"),
    "representation": ("majority", "bag_of_words", "random_direction", "other_layer", "shuffled_labels", "untrained"),
    "steering": ("random_direction", "matched_norm", "wrong_sign", "prompt_only"),
    "feature": ("random_direction", "bag_of_words", "other_layer", "untrained"),
    "monitor": ("constant", "majority", "bag_of_words", "ngram", "prompt_only", "shuffled_labels"),
    "training data": ("random", "bag_of_words", "shuffled_labels", "untrained"),
}
"""In the order in which they are worth their time."""


def controls_for(claim: str) -> tuple[str, ...]:
    """The controls that a kind of claim needs.

    Raises:
        SettingsError: there is no such kind.
    """
    for known, names in DEFAULTS.items():
        if known == claim:
            return names
    raise SettingsError(f"There is no kind of claim {claim!r}.{nearest(claim, get_args(Claim))}")


def claim_of(value: object, call: Call | None) -> Claim | None:
    """What kind of claim a result makes: what its method declares, or localisation for Scores."""
    declared = None if call is None else call.claim
    if isinstance(declared, Unclaimed):
        return None
    for known in DEFAULTS:
        if isinstance(declared, Declared) and declared.kind == known:
            return known
    return "localisation" if isinstance(value, Scores) else None


def unclaimed(call: Call | None) -> str:
    """Why a method's results make no claim, if it says so."""
    declared = None if call is None else call.claim
    return declared.why if isinstance(declared, Unclaimed) else ""
