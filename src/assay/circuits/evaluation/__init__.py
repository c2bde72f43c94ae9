"""Is a circuit faithful, complete, minimal and stable? Curves over sizes, areas, held-out prompts, agreement."""

from assay.circuits.evaluation.completeness import circuit_completeness, circuit_minimality
from assay.circuits.evaluation.curves import circuit_curves
from assay.circuits.evaluation.held_out import parted
from assay.circuits.evaluation.single import evaluate_circuit
from assay.circuits.evaluation.stability import circuit_stability, scores_agreement, stability_of

__all__ = [
    "circuit_completeness",
    "circuit_curves",
    "circuit_minimality",
    "circuit_stability",
    "evaluate_circuit",
    "parted",
    "scores_agreement",
    "stability_of",
]
