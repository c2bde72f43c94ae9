"""Studies: a question, hypotheses with predictions made before the run, and a verdict with its evidence."""

from assay.studies.read import read_study
from assay.studies.schema import Study

__all__ = ["Study", "read_study"]
