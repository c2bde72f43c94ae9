"""Which parts of a network matter: patching, ranking, and keeping only the parts that were found."""

from assay.circuits.abstraction import (
    boundless_das,
    das,
    dbm,
    disentangle,
    feature_alignment,
    illusion_checks,
    interchange,
    pca_alignment,
)
from assay.circuits.accuracy import task_accuracy
from assay.circuits.acdc import acdc
from assay.circuits.atp_star import atp_star
from assay.circuits.atp_star_positions import atp_star_positions
from assay.circuits.attribution import attribution_patching, attribution_positions, relevance_patching
from assay.circuits.average import average_scores
from assay.circuits.baselines import (
    activation_norms,
    depths,
    edge_baseline,
    gradient_norms,
    random_scores,
    weight_norms,
)
from assay.circuits.choosing import choose_circuit, read_circuit
from assay.circuits.circuit import Circuit
from assay.circuits.drawing import stored  # noqa: F401 (registers the pictures that reports draw of stored results)
from assay.circuits.edge_attribution import eap, eap_ig
from assay.circuits.edge_mask import edge_mask
from assay.circuits.edge_patching import edge_patching
from assay.circuits.effects import mediated_effects, pairwise_interactions, self_repair, shapley_values
from assay.circuits.estimate_error import estimate_error
from assay.circuits.evaluation import (
    circuit_completeness,
    circuit_curves,
    circuit_minimality,
    circuit_stability,
    evaluate_circuit,
    parted,
    scores_agreement,
    stability_of,
)
from assay.circuits.feature_ablation import ablate_feature_positions, ablate_features
from assay.circuits.graph import Graph
from assay.circuits.information_flow import information_flow
from assay.circuits.keep import keep_heads, keep_set, smallest_heads
from assay.circuits.layers import why_whole
from assay.circuits.node_patching import ablate, ablate_positions, patch, patch_positions
from assay.circuits.patching import patch_components, patch_heads, patch_residual
from assay.circuits.path_patching import path_patching
from assay.circuits.roles import head_roles
from assay.circuits.running import run_circuits
from assay.circuits.set_ablation import ablate_set
from assay.circuits.smallest import judge_circuit, smallest_circuit
from assay.circuits.weights import head_weight_norms

__all__ = [
    "ablate",
    "ablate_feature_positions",
    "ablate_features",
    "ablate_positions",
    "ablate_set",
    "acdc",
    "activation_norms",
    "atp_star",
    "atp_star_positions",
    "attribution_patching",
    "attribution_positions",
    "average_scores",
    "boundless_das",
    "choose_circuit",
    "Circuit",
    "circuit_completeness",
    "circuit_curves",
    "circuit_minimality",
    "circuit_stability",
    "das",
    "dbm",
    "depths",
    "disentangle",
    "eap",
    "eap_ig",
    "edge_baseline",
    "edge_mask",
    "edge_patching",
    "estimate_error",
    "evaluate_circuit",
    "feature_alignment",
    "gradient_norms",
    "Graph",
    "head_roles",
    "head_weight_norms",
    "illusion_checks",
    "information_flow",
    "interchange",
    "judge_circuit",
    "keep_heads",
    "keep_set",
    "mediated_effects",
    "pairwise_interactions",
    "parted",
    "patch",
    "patch_components",
    "patch_heads",
    "patch_positions",
    "patch_residual",
    "path_patching",
    "pca_alignment",
    "random_scores",
    "read_circuit",
    "relevance_patching",
    "run_circuits",
    "scores_agreement",
    "self_repair",
    "shapley_values",
    "smallest_circuit",
    "smallest_heads",
    "stability_of",
    "task_accuracy",
    "weight_norms",
    "why_whole",
]
