"""Readouts: parts add up to the whole, the last layer's lens is the model, patterns are the model's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.readouts import attention_patterns, direct_logit_attribution, logit_lens
from assay.readouts.output import Output


@pytest.fixture(scope="module", params=[tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> Model:
    made: Model = request.param()
    return made


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids(20)


def truth(model: Model, pairs: Pairs) -> np.ndarray:
    logits = model.native(input_ids=pairs.clean_tokens).logits[:, -1].detach()
    rows = torch.arange(len(pairs))
    return np.asarray(logits[rows, pairs.answer_ids] - logits[rows, pairs.wrong_ids])


def test_parts_add_up_to_the_logit_difference(model: Model, pairs: Pairs) -> None:
    scores = direct_logit_attribution(model, pairs)
    assert scores.per_example is not None
    right, wrong = pairs.answer_ids.tolist(), pairs.wrong_ids.tolist()
    constant = Output.of(model).constant(right, wrong).numpy()
    np.testing.assert_allclose(scores.per_example.sum(0) + constant, truth(model, pairs), atol=1e-4)  # kept in float32
    assert "completeness gap" in scores.facts[0]
    assert ("pos_embed" in scores.components) == (model.config.model_type == "gpt2")
    assert "L0.H3" in scores.components and "L1.mlp" in scores.components


def test_biases_of_attention_are_a_part_of_their_own(pairs: Pairs) -> None:
    assert "L0.attn_rest" in direct_logit_attribution(tiny_gpt2(), pairs).components
    assert "L0.attn_rest" not in direct_logit_attribution(tiny_llama(), pairs).components


def test_the_frozen_norm_is_the_norm(model: Model, pairs: Pairs) -> None:
    """Gain, bias and centring found by asking the module agree with the module on a real residual stream."""
    output = Output.of(model)
    last = f"L{model.n_layers - 1}.resid_post"
    run = model.run(pairs.clean_tokens, capture=[last, "final_norm", "final_norm_scale"])
    linear = output.frozen(run[last][:, -1], run["final_norm_scale"][:, -1]) + output.bias
    torch.testing.assert_close(linear, run["final_norm"][:, -1], rtol=0, atol=1e-5)  # epsilon inside the scale


def test_the_last_layer_of_the_lens_is_the_model(model: Model, pairs: Pairs) -> None:
    data = logit_lens(model, pairs).data
    last = data.isel(layer=-1)
    np.testing.assert_allclose(last["logit_diff"], truth(model, pairs), atol=1e-4)
    assert last["correct"].values.tolist() == (truth(model, pairs) > 0).tolist()
    logits = model.native(input_ids=pairs.clean_tokens).logits[:, -1].detach()
    rows = torch.arange(len(pairs))
    rank = (logits > logits[rows, pairs.answer_ids][:, None]).sum(-1)
    assert last["rank"].values.tolist() == rank.tolist()
    assert dict(data["prob"].sizes) == {"layer": model.n_layers, "example": 20}


def test_patterns_are_the_models_own(model: Model, pairs: Pairs) -> None:
    scores = Scores.of({"L0.H1": 2.0, "L1.H3": 3.0, "L1.mlp": 9.0, "L1.H0": 1.0}, quantity="q")
    data = attention_patterns(model, pairs, scores=scores, top=2, example=4).data
    assert data["head"].values.tolist() == ["L1.H3", "L0.H1"]
    np.testing.assert_allclose(data["pattern"].sum("key"), 1, atol=1e-6)
    native = model.native
    native.set_attn_implementation("eager")  # type: ignore[operator]
    attentions = native(input_ids=pairs.clean_tokens, output_attentions=True).attentions
    expected = attentions[1][:, 3].detach()
    np.testing.assert_allclose(data["pattern"].sel(head="L1.H3"), expected[4], atol=1e-6)
    looks = data["to_position"].sel(head="L1.H3", position="subject")
    np.testing.assert_allclose(looks, expected[:, -1, 3], atol=1e-6)
    assert data["query"].values[0].startswith("0|")


def test_an_example_that_is_not_there(model: Model, pairs: Pairs) -> None:
    with pytest.raises(DataError, match="no example 20"):
        attention_patterns(model, pairs, scores=Scores.of({"L0.H0": 1.0}, quantity="q"), example=20)
