"""Causal abstraction: does a network compute the variables of a model that people understand, and where?"""

from assay.circuits.abstraction.alignment import Alignment
from assay.circuits.abstraction.axes import dbm, feature_alignment, pca_alignment
from assay.circuits.abstraction.causal_model import CausalModel
from assay.circuits.abstraction.counterfactuals import Counterfactuals, Interchange
from assay.circuits.abstraction.das import boundless_das, das
from assay.circuits.abstraction.drawn import counterfactuals
from assay.circuits.abstraction.illusion import illusion_checks
from assay.circuits.abstraction.interchange import interchange
from assay.circuits.abstraction.isolation import disentangle
from assay.circuits.abstraction.prompts import Written
from assay.circuits.abstraction.search import alignment_of
from assay.circuits.abstraction.training import Annealing, Training

__all__ = [
    "CausalModel",
    "Counterfactuals",
    "Interchange",
    "Written",
    "counterfactuals",
    "interchange",
    "das",
    "boundless_das",
    "dbm",
    "pca_alignment",
    "feature_alignment",
    "disentangle",
    "illusion_checks",
    "Alignment",
    "alignment_of",
    "Training",
    "Annealing",
]
