"""Is a circuit faithful, complete, minimal and stable? Curves over sizes, areas, held-out prompts, agreement."""

from assay.circuits.evaluation.stability import circuit_stability, scores_agreement, stability_of

__all__ = ["circuit_stability", "scores_agreement", "stability_of"]
