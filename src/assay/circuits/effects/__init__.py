"""Causal effects of parts: direct and mediated, joint and alone, before and after the rest of the model responds."""

from assay.circuits.effects.interaction import pairwise_interactions, shapley, shapley_values
from assay.circuits.effects.mediation import mediated_effects
from assay.circuits.effects.repair import self_repair

__all__ = ["mediated_effects", "pairwise_interactions", "self_repair", "shapley", "shapley_values"]
