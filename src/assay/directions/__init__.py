"""Directions: probes that find them, what they read on other prompts, monitors made of them, and edits that use them."""

from assay.directions.calibrate import calibrate
from assay.directions.edits import add, project_out
from assay.directions.monitor import monitor
from assay.directions.output import output_direction
from assay.directions.probe import probe
from assay.directions.reading import read_directions

__all__ = ["add", "calibrate", "monitor", "output_direction", "probe", "project_out", "read_directions"]
