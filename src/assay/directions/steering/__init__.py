"""Steering: directions that are added to a model or taken out of it, what that does, and what it costs."""

from assay.directions.steering.ablating import ablate_direction
from assay.directions.steering.choosing import choose_strength
from assay.directions.steering.drawing import steering_pictures
from assay.directions.steering.mean_difference import mean_difference
from assay.directions.steering.sides import turned
from assay.directions.steering.steer import steer
from assay.directions.steering.unrelated import UnrelatedText
from assay.directions.steering.writing import repetition, steered_texts

__all__ = [
    "UnrelatedText",
    "ablate_direction",
    "choose_strength",
    "mean_difference",
    "repetition",
    "steer",
    "steering_pictures",
    "steered_texts",
    "turned",
]
