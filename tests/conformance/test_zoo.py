"""The zoo itself: every model is small, finite, alive in every layer, and the same each time."""

from __future__ import annotations

import warnings

import pytest
import torch
from tests.conformance import zoo
from tests.conformance.check_zoo import check

AVAILABLE = [name for name in zoo.everything() if name not in zoo.unavailable()]


def test_most_causal_types_can_be_built() -> None:
    missing = [name for name in zoo.causal_types() if name in zoo.unavailable()]
    assert missing == ["gemma3n"]
    assert len(zoo.causal_types()) - len(missing) >= 195


def test_names_do_not_collide() -> None:
    assert len(zoo.everything()) == len(set(zoo.everything()))


@pytest.mark.parametrize("name", AVAILABLE)
def test_runs_and_stays_finite(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, about configurations we did not write
        line = check(name)
    assert 1e-3 < line.largest < 1e3
    assert line.parameters <= zoo.MOST_PARAMETERS


@pytest.mark.parametrize("name", ["llama", "jamba", "T5ForConditionalGeneration"])
def test_same_seed_same_model(name: str) -> None:
    first, inputs = zoo.build(name, seed=3)
    second, same_inputs = zoo.build(name, seed=3)
    other, _ = zoo.build(name, seed=4)
    with torch.no_grad():
        assert torch.equal(first(**inputs).logits, second(**same_inputs).logits)
        assert not torch.equal(first(**inputs).logits, other(**inputs).logits)


def test_unperturbed_weights_are_the_class_s_own() -> None:
    model, _ = zoo.build("llama", perturb=False)
    assert torch.equal(model.model.norm.weight, torch.ones(32))


def test_hybrids_keep_an_attention_layer() -> None:
    for name in ("jamba", "qwen3_next", "qwen3_5_text", "recurrent_gemma", "granitemoehybrid", "lfm2", "bamba"):
        model, _ = zoo.build(name)
        assert any("Attention" in type(module).__name__ for module in model.modules()), name
