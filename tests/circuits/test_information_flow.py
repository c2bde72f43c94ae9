"""Information flow: contributions add up, shares add up, and a hand-made case is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.circuits.tiny_postnorm import tiny_gemma2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import information_flow
from assay.circuits.contributions import SITES, Layer, overlap
from assay.data.pairs import Pairs
from assay.engine.model import Model

CLOSE = 1e-5  # patterns in single precision
MODELS = pytest.mark.parametrize("made", [tiny_llama, tiny_gpt2, tiny_gemma2], ids=["llama", "gpt2", "gemma2"])


def layers(model: Model, pairs: Pairs) -> list[Layer]:
    run = model.run(pairs.clean_tokens, capture=list(SITES))
    return [Layer(model, run, i) for i in range(model.n_layers)]


@MODELS
def test_contributions_add_up_to_the_stream(made: Callable[[], Model]) -> None:
    """Embedding, heads and MLPs are the last stream, but for biases, which are the same at every position."""
    model, pairs = made(), pairs_of_ids(3)
    found = layers(model, pairs)
    total = found[0]["resid_pre"] + sum(value for layer in found for _, value in layer.senders())
    left = found[-1]["resid_post"] - total
    torch.testing.assert_close(left, left[:1, :1].expand_as(left), rtol=0, atol=1e-9)
    assert made is tiny_gpt2 or float(left.abs().max()) < 1e-9


@MODELS
def test_what_a_head_moves_adds_up_to_the_head(made: Callable[[], Model]) -> None:
    model, pairs = made(), pairs_of_ids(3)
    layer = layers(model, pairs)[1]
    heads = dict(layer.senders())
    for head in range(4):
        torch.testing.assert_close(layer.moved(head).sum(2), heads[f"L1.H{head}"], rtol=0, atol=CLOSE)


def test_overlap() -> None:
    """All of the whole, half of it, nothing, and the opposite."""
    whole = torch.tensor([2.0, -2.0, 0.0])
    parts = torch.stack([whole, whole / 2, torch.tensor([0.0, 0.0, 5.0]), -whole])
    assert overlap(parts, whole).tolist() == [4, 2, 0, 0]


@MODELS
def test_shares_into_each_receiver_add_up_to_one(made: Callable[[], Model]) -> None:
    scores = information_flow(made(), pairs_of_ids(3), level="edge")
    into: dict[str, float] = {}
    for edge, value in zip(scores.components, scores.values, strict=True):
        assert value >= 0
        into[edge.split("->")[1]] = into.get(edge.split("->")[1], 0) + value
    np.testing.assert_allclose(list(into.values()), 1, atol=CLOSE)


def test_a_silent_head_passes_nothing_and_the_loud_one_all() -> None:
    """Only head 2 of layer 1 writes, hugely: the flow from the end goes through it."""
    model, pairs = tiny_llama(), pairs_of_ids(3)
    with torch.no_grad():
        for i, block in enumerate(model.native.model.layers):  # type: ignore[union-attr, arg-type]
            weight = block.self_attn.o_proj.weight
            own = weight[:, 16:24].clone()
            weight.zero_()
            block.mlp.down_proj.weight.zero_()
            if i == 1:
                weight[:, 16:24] = 1e4 * own
    scores = information_flow(model, pairs, level="node")
    assert scores["L1.H2"] == pytest.approx(1, abs=1e-2)
    assert scores.values.sum() == pytest.approx(scores["L1.H2"], abs=CLOSE)


def test_each_prompt_is_what_it_is_alone() -> None:
    model = tiny_llama()
    short, long = pairs_of_ids(2, length=5), pairs_of_ids(2, length=8)
    mixed = Pairs((long[0], short[0], long[1], short[1])).align(None)
    for level in ("node", "edge"):
        whole, one = (information_flow(model, p, level=level).per_example for p in (mixed, short))  # type: ignore[arg-type]
        assert whole is not None and one is not None
        np.testing.assert_allclose(whole[:, [1, 3]], one, atol=CLOSE)
