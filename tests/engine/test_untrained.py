"""An untrained copy: the same architecture, other weights, the same from the same seed, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama
from torch import nn

from assay.engine.model import Model, load
from assay.engine.untrained import untrained

TOKENS = torch.tensor([[3, 14, 15, 9]])


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_the_architecture_stays_and_the_weights_go(make: object) -> None:
    model: Model = make()  # type: ignore[operator]
    before = {name: value.clone() for name, value in model.native.state_dict().items()}
    fresh = untrained(model, seed=1)
    assert type(fresh.native) is type(model.native)
    assert [str(site.name) for site in fresh.sites] == [str(site.name) for site in model.sites]
    for name, value in model.native.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} of the model itself was changed"
    for name, value in fresh.native.named_parameters():
        own = dict(model.native.named_parameters())[name]
        assert value.shape == own.shape and value.dtype == own.dtype
        if own.dim() > 1:  # norms and biases begin at 1 and 0, trained or not
            assert not torch.equal(value, own), name
    assert fresh.fingerprint != model.fingerprint
    assert "weights initialised anew, seed 1: not the trained model" in fresh.network.facts


def test_the_seed_decides_and_global_randomness_is_left_alone() -> None:
    model = tiny_llama()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fresh = untrained(model, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert untrained(model, seed=1).fingerprint == fresh.fingerprint
    assert untrained(model, seed=2).fingerprint != fresh.fingerprint


def test_it_runs_in_the_same_precision_with_all_sites() -> None:
    model = tiny_llama()
    fresh = untrained(model)
    run = fresh.run(TOKENS, capture=["L1.resid_post", "L2.z"])
    assert run.logits.dtype == torch.float64 and torch.isfinite(run.logits).all()
    assert not torch.allclose(run.logits, model.run(TOKENS).logits)


def test_planted_knowledge_is_gone() -> None:
    """A model made to repeat its last token: it does on every prompt, the untrained copies almost never."""
    model = repeating()
    tokens = torch.randint(0, 60, (50, 6), generator=torch.Generator().manual_seed(0))
    right = [float((each.run(tokens).logits[:, -1].argmax(-1) == tokens[:, -1]).double().mean()) for each in
             (model, *(untrained(model, seed=seed) for seed in range(3)))]  # fmt: skip
    assert right[0] == 1
    assert max(right[1:]) <= 0.12  # chance 1/60; 6 of 50 or more has a chance of .0003


def test_another_process_can_not_load_the_trained_weights_in_its_place() -> None:
    source = untrained(tiny_llama()).network.source
    assert source.kind == "object" and not source.options


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.scale = nn.Parameter(torch.arange(4.0))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.embed(input_ids) * self.scale


def test_a_module_of_ones_own() -> None:
    model = load(Own().eval(), inputs={"input_ids": TOKENS % 10})
    fresh = untrained(model)
    assert not torch.equal(fresh.native.embed.weight, model.native.embed.weight)
    assert sorted(fresh.native.scale.tolist()) == [0, 1, 2, 3]  # no rule: the same values in another order
    assert any("no rule to initialise scale" in fact for fact in fresh.network.facts)


def repeating() -> Model:
    """Blocks that add nothing, and an unembedding that is the embedding."""
    model = tiny_llama()
    with torch.no_grad():
        for name, parameter in model.native.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.zero_()
        model.native.lm_head.weight.copy_(model.native.model.embed_tokens.weight)
    return model
