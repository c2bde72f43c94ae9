"""Baselines: numbers that can be read off the weights or computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.circuits.by_hand import kept
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import (
    activation_norms,
    depths,
    edge_baseline,
    gradient_norms,
    head_weight_norms,
    random_scores,
    weight_norms,
)
from assay.circuits.graph import Graph
from assay.core.errors import SettingsError
from assay.core.protocols import Scores

CLOSE = 1e-6  # norms of weights are taken in single precision


def test_weights() -> None:
    """A linear layer is stored as [out, in], GPT-2's as [in, out]: neurons are told apart all the same."""
    pairs = pairs_of_ids()
    llama, gpt2 = tiny_llama(), tiny_gpt2()
    for model, weight in (
        (llama, llama.native.model.layers[1].mlp.down_proj.weight.T),  # type: ignore[union-attr, index]
        (gpt2, gpt2.native.transformer.h[1].mlp.c_proj.weight),  # type: ignore[union-attr, index]
    ):
        down = weight.detach()
        assert weight_norms(model, pairs, granularity="neuron")["L1.N3"] == pytest.approx(
            float(down[3].norm()), abs=CLOSE
        )
        assert weight_norms(model, pairs, granularity="mlp")["L1.mlp"] == pytest.approx(float(down.norm()), rel=CLOSE)
        heads, known = weight_norms(model, pairs, granularity="head"), head_weight_norms(model, pairs)
        np.testing.assert_allclose(heads.values, known.values, atol=CLOSE)
        whole = np.sqrt((heads.only(r"L1\.H\d").values ** 2).sum())
        assert weight_norms(model, pairs, granularity="attn")["L1.attn"] == pytest.approx(whole, rel=CLOSE)
    with pytest.raises(SettingsError, match="q has no output weights"):
        weight_norms(llama, pairs, granularity="q")


def test_activations_and_gradients() -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    z = kept(model, "model.layers.1.self_attn.o_proj", pairs.clean_tokens, "in")
    found = activation_norms(model, pairs, granularity="head")
    assert found["L1.H2"] == pytest.approx(float(z[..., 16:24].norm(dim=-1).mean()), abs=1e-9)
    from assay import metric

    direction = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = gradient_norms(model, pairs, granularity="mlp", metric=metric.dot("L2.resid_post", direction))
    assert slope["L2.mlp"] == pytest.approx(float(direction.norm()) / 7, abs=CLOSE)  # one of seven positions is read


def test_depth_and_chance() -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    assert depths(model, pairs, granularity="mlp").values.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    one, again, other = (random_scores(model, pairs, granularity="head", seed=seed).values for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).all()


def test_edges_from_their_ends() -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    scores = Scores.of({"L0.H1": 3.0, "L1.H2": 5.0, "L1.mlp": 7.0}, "q")
    product = edge_baseline(model, pairs, scores=scores, combine="product")
    total = edge_baseline(model, pairs, scores=scores, combine="sum")
    assert len(product) == Graph.of(model).edge_count
    for edge, a, b in (
        ("L0.H1->L1.H2.q", 15, 8),
        ("embed->L1.H2.v", 5, 5),
        ("L0.H1->logits", 3, 3),
        ("L1.H2->L1.mlp", 35, 12),
    ):
        assert (product[edge], total[edge]) == (a, b)
