"""Prompts whose counterfactuals change nothing: one clear line from every method that lives on the difference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import (
    ablate_set,
    acdc,
    atp_star_positions,
    eap,
    edge_mask,
    edge_patching,
    head_roles,
    mediated_effects,
    pairwise_interactions,
    patch,
    patch_components,
    patch_heads,
    patch_residual,
    path_patching,
    self_repair,
    shapley_values,
    smallest_heads,
)
from assay.circuits.weights import head_weight_norms
from assay.core.errors import DataError
from assay.data.pairs import Pairs
from assay.engine.model import Model

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
NODES = {"nodes": ("L0.H1", "L0.H2", "L0.H3", "L1.mlp"), **HOW}
NOISE = {"direction": "noise", "metric": "logit_diff"}


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_llama()


def same() -> Pairs:
    return Pairs(tuple(each.model_copy(update={"corrupt": each.clean}) for each in pairs_of_ids(4))).align(None)


ASKED: dict[str, Callable[[Model, Pairs], object]] = {
    "patch": lambda m, p: patch(m, p, granularity="head", **NOISE),
    "patch_heads": lambda m, p: patch_heads(m, p, direction="noise"),
    "patch_components": lambda m, p: patch_components(m, p, direction="denoise"),
    "patch_residual": lambda m, p: patch_residual(m, p, direction="noise", positions=("end",)),
    "ablate_set": lambda m, p: ablate_set(m, p, parts=("L0.H1", "L1.mlp"), **HOW),
    "path_patching": lambda m, p: path_patching(
        m, p, senders=("L0.H1",), receivers=("logits",), ablation="counterfactual", freeze_mlps=True, **NOISE
    ),
    "atp_star_positions": lambda m, p: atp_star_positions(
        m, p, granularity="mlp", ablation="counterfactual", fixes=(), **NOISE
    ),
    "eap": lambda m, p: eap(m, p, **HOW),
    "edge_patching": lambda m, p: edge_patching(m, p, receivers="logits", **HOW),
    "acdc": lambda m, p: acdc(m, p, tau=0.1, ablation="counterfactual", metric={"kind": "kl", "to": "clean"}),
    "edge_mask": lambda m, p: edge_mask(m, p, size=5, kind="top_k", **HOW),
    "mediated_effects": lambda m, p: mediated_effects(m, p, **NODES),
    "self_repair": lambda m, p: self_repair(m, p, **NODES),
    "pairwise_interactions": lambda m, p: pairwise_interactions(m, p, **NODES),
    "shapley_values": lambda m, p: shapley_values(m, p, **NODES),
    "head_roles": lambda m, p: head_roles(m, p, **HOW),
    "smallest_heads": lambda m, p: smallest_heads(m, p, scores=head_weight_norms(m, p), ablation="counterfactual"),
}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_one_clear_line(name: str, model: Model) -> None:
    with pytest.raises(DataError, match=r"nothing to explain|no gap to") as raised:
        ASKED[name](model, same())
    assert "\n" not in str(raised.value)
