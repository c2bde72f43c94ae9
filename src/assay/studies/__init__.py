"""Studies: a question, hypotheses with predictions made before the run, and a verdict with its evidence."""

from assay.studies.condition import Condition
from assay.studies.quantity import Depth, Difference, Matches, Ratio, Selector, Share, ShareOf
from assay.studies.read import read_study
from assay.studies.schema import (
    Alternative,
    Analysis,
    Baseline,
    Budget,
    DataSpec,
    Hypothesis,
    Matrix,
    ModelSpec,
    StepSpec,
    Study,
)

__all__ = [
    "Study", "ModelSpec", "DataSpec", "StepSpec", "Hypothesis", "Baseline", "Analysis", "Budget", "Matrix", "Alternative",
    "Selector", "Difference", "Ratio", "Share", "ShareOf", "Depth", "Matches", "Condition", "read_study",
]  # fmt: skip
