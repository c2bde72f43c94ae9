"""Directions: probes that find them, what they read on other prompts, monitors made of them, and edits that use them."""

from assay.directions.calibrate import calibrate
from assay.directions.edits import add, project_out
from assay.directions.monitor import monitor
from assay.directions.output import output_direction
from assay.directions.probe import probe
from assay.directions.reading import read_directions
from assay.directions.steering import (
    UnrelatedText,
    ablate_direction,
    choose_strength,
    mean_difference,
    steer,
    steered_texts,
)

__all__ = [
    "UnrelatedText",
    "ablate_direction",
    "add",
    "calibrate",
    "choose_strength",
    "mean_difference",
    "monitor",
    "output_direction",
    "probe",
    "project_out",
    "read_directions",
    "steer",
    "steered_texts",
]
