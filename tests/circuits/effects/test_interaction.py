"""Overdetermination: two heads that each suffice, found by joint ablation and shared out fairly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuits.effects.hand_made import either_head, linear_gpt2
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits.effects import mediated_effects, pairwise_interactions, shapley, shapley_values
from assay.core.caveats import caveats_in
from assay.core.errors import DataError

EXACT = 1e-9
PAIRS = pairs_of_ids(3)


def test_of_two_heads_that_each_suffice_each_gets_half() -> None:
    model, pairs = either_head()
    scores = shapley_values(model, pairs, nodes=("L0.H0", "L0.H1"), ablation="counterfactual", metric="logit_diff")
    np.testing.assert_allclose(scores.values, [0.5, 0.5], atol=EXACT)
    assert any("together they lose 1.00 of the metric (logit_diff), one by one 0.00" in fact for fact in scores.facts)
    assert caveats_in(scores.facts) == ("single ablation hardly shows L0.H0, L0.H1: others stand in",)


def test_their_interaction_is_the_whole_effect() -> None:
    model, pairs = either_head()
    found = pairwise_interactions(
        model, pairs, nodes=("L0.H0", "L0.H1", "L0.mlp"), ablation="counterfactual", metric="logit_diff"
    )
    table = found["interaction"].mean("example").values
    np.testing.assert_allclose(table[0, 1], 1, atol=EXACT)
    np.testing.assert_allclose(table, table.T)
    assert np.isnan(table.diagonal()).all()
    np.testing.assert_allclose(found["loss"].mean("example").values, [0, 0, 1], atol=EXACT)
    assert "L0.H0 and L0.H1 stand in for one another" in found.provenance.facts[-1]


def test_in_a_linear_model_heads_side_by_side_do_not_interact() -> None:
    found = pairwise_interactions(linear_gpt2(), PAIRS, nodes=("L1.H0", "L1.H1"), ablation="zero", metric="logit_diff")
    np.testing.assert_allclose(found["interaction"].values[0, 1], 0, atol=EXACT)
    assert float(np.abs(found["loss"]).max()) > 1e-3


def test_in_a_linear_model_parts_in_a_row_share_the_path_between_them() -> None:
    """What the first does through the second is lost with either: it is counted twice when they are ablated one by one."""
    model = linear_gpt2()
    pair = pairwise_interactions(model, PAIRS, nodes=("L0.H1", "L1.H0"), ablation="counterfactual", metric="logit_diff")
    through = mediated_effects(
        model, PAIRS, nodes=("L0.H1",), mediators=("L1.H0",), ablation="counterfactual", metric="logit_diff"
    )
    np.testing.assert_allclose(pair["interaction"].values[0, 1], -through["indirect"].values[0], atol=EXACT)
    assert np.abs(through["indirect"]).max() > 1e-4


def test_shapley_values_share_out_the_joint_loss() -> None:
    model, nodes = tiny_llama(), ("L0.H1", "L0.mlp", "L1.H0", "L2.H3")
    scores = shapley_values(model, PAIRS, nodes=nodes, ablation="counterfactual", metric="logit_diff")
    whole = pairwise_interactions(model, PAIRS, nodes=nodes[:2], ablation="counterfactual", metric="logit_diff")
    two = shapley_values(model, PAIRS, nodes=nodes[:2], ablation="counterfactual", metric="logit_diff")
    expected = whole["loss"].sum("node") + whole["interaction"].values[0, 1]
    np.testing.assert_allclose(two.per_example.sum(axis=0), expected.values, atol=EXACT)
    assert scores.components == nodes


@settings(deadline=None, max_examples=30)
@given(players=st.integers(1, 6), seed=st.integers(0, 1000))
def test_shapley_is_efficient_symmetric_and_blind_to_dummies(players: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.arange(2**players)
    game = rng.normal(size=2**players)
    game[0] = 0
    values = shapley(game[:, None])[:, 0]
    np.testing.assert_allclose(values.sum(), game[-1], atol=1e-12)  # efficiency
    dual = game[-1] - game[codes[::-1]]  # the same parts restored instead of ablated
    np.testing.assert_allclose(shapley(dual[:, None])[:, 0], values, atol=1e-12)
    swapped = (codes & 1) << (players - 1) | (codes & ~(1 | 1 << (players - 1))) | (codes >> (players - 1) & 1)
    if players > 1:
        np.testing.assert_allclose(shapley(game[swapped][:, None])[[0, -1], 0], values[[-1, 0]], atol=1e-12)
    with_dummy = np.concatenate([game, game])[:, None]  # a last player who never changes anything
    np.testing.assert_allclose(shapley(with_dummy)[:, 0], [*values, 0], atol=1e-12)


def test_shapley_by_every_order_of_arrival() -> None:
    """Its definition: the mean over orders of what a player adds on arrival."""
    from itertools import permutations

    game = np.random.default_rng(3).normal(size=8)
    added = np.zeros(3)
    for order in permutations(range(3)):
        code = 0
        for player in order:
            added[player] += game[code | 1 << player] - game[code]
            code |= 1 << player
    np.testing.assert_allclose(shapley(game[:, None])[:, 0], added / 6, atol=1e-12)


def test_too_many_players_are_told_what_it_would_cost() -> None:
    nodes = tuple(f"L{layer}.H{head}" for layer in range(4) for head in range(4))
    with pytest.raises(DataError, match=r"16 parts need 2\^16 = 65,536 sets"):
        shapley_values(tiny_llama(), PAIRS, nodes=nodes, ablation="zero", metric="logit_diff")
    with pytest.raises(DataError, match="1 parts were named; at least 2"):
        pairwise_interactions(tiny_llama(), PAIRS, nodes=nodes[:1], ablation="zero", metric="logit_diff")
    with pytest.raises(DataError, match="one for each subset, a power of two"):
        shapley(np.zeros((3, 1)))
