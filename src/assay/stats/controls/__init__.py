"""Controls: the same quantity where the claim should not hold. `result.against("random", "untrained")`.

| name | what it is | cost |
|---|---|---|
| `random` | a random direction where the method takes one, else random components | as below |
| `random_component` | as many components drawn at random; where the method takes a ranking, that shuffled | none, or a run |
| `other_layer` | the same part in other layers | none |
| `untrained` | the same architecture before training | a run of the method |
| `shuffled_labels` | each prompt with another's answers and labels | a run |
| `random_direction`, `matched_norm`, `wrong_sign` | another direction of the same norm; noise; the opposite | a run each |
| `prompt_only` | words in the prompt in place of the intervention, or the model asked | a run, or a pass |
| `constant`, `majority`, `bag_of_words`, `ngram` | predictions from the texts alone | seconds |

`DEFAULTS` says which of them each kind of claim needs.
"""

from assay.stats.controls.comparison import Comparison, Row, against
from assay.stats.controls.components import other_layer, random_component
from assay.stats.controls.control import Asked, Asking, Control, Measure, control, controls, find_control
from assay.stats.controls.defaults import DEFAULTS, Claim, claim_of, controls_for, unclaimed
from assay.stats.controls.labels import shuffled_labels
from assay.stats.controls.learned import seconds_of
from assay.stats.controls.predictions import answered, instructed
from assay.stats.controls.texts import Labelled, labelled
from assay.stats.controls.vectors import HasVector, matched_noise, random_direction, wrong_sign
from assay.stats.controls.weights import untrained_weights

__all__ = [
    "Asked",
    "Asking",
    "Claim",
    "Comparison",
    "Control",
    "DEFAULTS",
    "HasVector",
    "Labelled",
    "Measure",
    "Row",
    "against",
    "answered",
    "claim_of",
    "control",
    "controls",
    "controls_for",
    "find_control",
    "instructed",
    "labelled",
    "matched_noise",
    "other_layer",
    "random_component",
    "random_direction",
    "seconds_of",
    "shuffled_labels",
    "unclaimed",
    "untrained_weights",
    "wrong_sign",
]
