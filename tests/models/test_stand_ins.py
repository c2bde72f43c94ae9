"""Weights that show nothing (zeros, equal heads) do not change which sites a model has, nor are they changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama
from torch import nn

import assay
from assay.engine.model import Model
from assay.models.stand_ins import LARGE, stand_ins
from assay.training.planted import NAMES, situation


def sites(model: Model) -> dict[str, dict[str, int]]:
    return {str(name): dict(site.sizes) for name, site in model.network.structure.sites.items()}


def reloaded(model: Model) -> Model:
    return assay.load(model.native)


def zero(weight: torch.Tensor) -> None:
    weight.zero_()


def equal_heads(weight: torch.Tensor) -> None:
    weight[8:16] = weight[:8]


def of_equal_numbers(weight: torch.Tensor) -> None:
    weight.fill_(0.25)


@pytest.mark.parametrize("change", [zero, equal_heads, of_equal_numbers])
@pytest.mark.parametrize("part", ["q", "k", "v", "o"])
def test_projections_that_show_nothing_keep_their_heads(change: Callable[[torch.Tensor], None], part: str) -> None:
    model = tiny_llama()
    expected = sites(model)
    with torch.no_grad():
        for block in model.native.model.layers:  # type: ignore[union-attr]
            change(getattr(block.self_attn, f"{part}_proj").weight)  # type: ignore[union-attr]
    assert sites(reloaded(model)) == expected


def test_a_fused_projection_and_an_mlp_of_zeros() -> None:
    model = tiny_gpt2()
    expected = sites(model)
    with torch.no_grad():
        for block in model.native.transformer.h:  # type: ignore[union-attr]
            block.attn.c_attn.weight[:, 32:].zero_()  # type: ignore[union-attr, index]
            block.mlp.c_proj.weight.zero_()  # type: ignore[union-attr]
    assert sites(reloaded(model)) == expected


def test_weights_are_put_back_bit_for_bit_also_after_an_error() -> None:
    native = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 6), nn.Linear(6, 3))
    with torch.no_grad():
        native[1].weight.zero_()  # type: ignore[union-attr]
        native[2].weight[0] = native[2].weight[1]  # type: ignore[index]
    before = {name: each.clone() for name, each in native.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), stand_ins(native) as names:
        assert names == ("1.weight", "2.weight")
        assert native[1].weight.abs().min() > 0  # type: ignore[operator, union-attr]
        raise RuntimeError("stop")
    assert all(torch.equal(each, before[name]) for name, each in native.state_dict().items())


def test_ordinary_weights_are_left_alone_and_large_ones_cost_a_look() -> None:
    native = nn.ModuleList([nn.Linear(30, 40), nn.Linear(LARGE, 2, bias=False)])
    with stand_ins(native) as names:
        assert names == ()
    with torch.no_grad():
        native[1].weight.zero_()  # type: ignore[union-attr]
    with stand_ins(native) as names:
        assert names == ("1.weight",)


@pytest.mark.parametrize("name", NAMES)
def test_planted_models_keep_their_sites_on_disk(name: str, tmp_path: Path) -> None:
    planted = situation(name).model
    planted.native.save_pretrained(tmp_path)  # type: ignore[operator]
    again = assay.load(tmp_path)
    assert sites(again) == sites(planted) and len(sites(again)) > 10
    tokens = torch.arange(4)[None]
    assert torch.equal(again.run(tokens).logits, planted.run(tokens).logits)
