"""Self-repair: what comes back after an ablation, and through what."""

from __future__ import annotations

import numpy as np
import pytest
from tests.circuits.effects.hand_made import backup, linear_gpt2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import patch_heads
from assay.circuits.effects import mediated_effects, self_repair
from assay.core.caveats import caveats_in
from assay.readouts import direct_logit_attribution
from assay.training.planted import situation

EXACT = 1e-9
PAIRS = pairs_of_ids(3)
NODES = ("L0.H1", "L0.mlp", "L1.H2", "L1.mlp")


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_before_anything_responds_a_head_loses_what_it_writes_to_the_logits(build) -> None:
    """The direct effect under zero ablation is direct logit attribution, an independent reading of weights and one pass,
    which is given in single precision."""
    model = build()
    data = self_repair(model, PAIRS, nodes=NODES, ablation="zero", metric="logit_diff").data
    direct = direct_logit_attribution(model, PAIRS)
    rows = dict(zip(direct.components, direct.per_example, strict=True))
    for node in NODES:
        np.testing.assert_allclose(
            data["before"].sel(node=node).values, rows[node], atol=1e-6, err_msg=node
        )  # the reading is in float32


def test_after_everything_responds_it_is_plain_ablation() -> None:
    model = tiny_llama()
    data = self_repair(model, PAIRS, nodes=("L0.H1", "L1.H2"), ablation="counterfactual", metric="logit_diff").data
    scores = patch_heads(model, PAIRS, direction="noise")
    gap = float(
        mediated_effects(model, PAIRS, nodes=("embed",), ablation="counterfactual", metric="logit_diff")["total"].mean()
    )
    for node in ("L0.H1", "L1.H2"):
        assert float(data["after"].sel(node=node).mean()) == pytest.approx(scores[node] * gap, abs=EXACT)


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_what_comes_back_comes_through_the_norm_or_through_later_parts(build) -> None:
    data = self_repair(build(), PAIRS, nodes=NODES, ablation="counterfactual", metric="logit_diff").data
    np.testing.assert_allclose(data["repaired"], data["by_norm"] + data["by_parts"], atol=EXACT)
    np.testing.assert_allclose(data["before"] - data["after"], data["repaired"], atol=EXACT)
    assert float(np.abs(data["by_parts"].sel(node="L0.H1")).max()) > 1e-4


def test_after_the_last_mlp_only_the_norm_can_respond() -> None:
    data = self_repair(tiny_gpt2(), PAIRS, nodes=("L1.mlp",), ablation="zero", metric="logit_diff").data
    np.testing.assert_allclose(data["by_parts"], 0, atol=EXACT)
    np.testing.assert_allclose(data["by_norm"], data["by_norm_first"], atol=EXACT)
    assert float(np.abs(data["by_norm"]).max()) > 1e-4


def test_a_backup_brings_back_just_what_its_principal_loses() -> None:
    """Planted: layer 1's MLP writes 1 − x where layer 0's wrote x = 1, so it is silent until the other is gone."""
    model, pairs = backup()
    data = self_repair(model, pairs, nodes=("L0.mlp", "L1.mlp"), ablation="zero", metric="logit_diff").data.mean(
        "example"
    )
    principal, dormant = data.sel(node="L0.mlp"), data.sel(node="L1.mlp")
    assert float(principal["before"]) > 0.1
    assert float(principal["by_parts"]) == pytest.approx(float(principal["before"]), abs=EXACT)
    assert float(principal["after"]) == pytest.approx(0, abs=EXACT)
    assert float(dormant["before"]) == pytest.approx(0, abs=EXACT)  # no ablation of it alone shows that it matters


def test_without_a_final_norm_nothing_is_put_down_to_it() -> None:
    found = self_repair(linear_gpt2(), PAIRS, nodes=("L0.H0",), ablation="zero", metric="logit_diff")
    np.testing.assert_allclose(found["by_norm"].values, 0, atol=EXACT)
    assert caveats_in(found.provenance.facts)[-1].startswith("the final norm's scale is not held")


def test_the_planted_backup_head_takes_over() -> None:
    """A hand-wired model of the library: the backup says the word where it was not said, half of the time or always."""
    planted = situation("backup head")
    found = self_repair(
        planted.model, planted.pairs, nodes=("L0.H0", "L1.H0"), ablation="counterfactual", metric="logit_diff"
    ).data.mean("example")
    first, reserve = found.sel(node="L0.H0"), found.sel(node="L1.H0")
    assert 0.2 * float(first["before"]) < float(first["repaired"]) and float(first["after"]) < 0.8 * float(
        first["before"]
    )
    assert abs(float(reserve["before"])) < 0.1 * float(first["before"])
