"""A model whose weights lie on the disk between two calls is the same model: every verb gives the plain one's bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama
from torch import nn

import assay
from assay import edit, metric, sweep
from assay.core.errors import InputError
from assay.engine.model import Model
from assay.models.fingerprint import fingerprint
from assay.models.offloaded import input_device, stored, weight_of

IDS = [[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]]
OTHER = [[3, 1, 9, 1, 5], [2, 7, 3, 8, 2]]
LLAMA = {f"model.{name}": "disk" for name in ("embed_tokens", "layers.1", "layers.2", "norm")}
LLAMA |= {"model.layers.0": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk"}
GPT2 = {f"transformer.{name}": "disk" for name in ("wte", "wpe", "h.1", "ln_f")}
GPT2 |= {"transformer.h.0": "cpu", "lm_head": "disk"}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    """A model with two of its blocks, embeddings, norm and unembedding on the disk, and the plain one."""
    plain, where = (tiny_llama(), LLAMA) if request.param == "llama" else (tiny_gpt2(), GPT2)
    folder = tmp_path_factory.mktemp(request.param)
    plain.native.save_pretrained(folder)  # type: ignore[operator]
    return assay.load(folder, device_map=where), plain


def empty(native: nn.Module) -> set[str]:
    return {name for name, parameter in native.named_parameters() if parameter.is_meta}


def test_the_same_sites_and_fingerprint(pair: tuple[Model, Model]) -> None:
    spread, plain = pair
    assert len(empty(spread.native)) > 10
    assert [site.name for site in spread.sites] == [site.name for site in plain.sites]
    assert spread.fingerprint == plain.fingerprint
    assert spread.device == torch.device("cpu")


def test_looking_and_changing(pair: tuple[Model, Model]) -> None:
    spread, plain = pair
    edits = [
        edit.patch("L1.resid_post", "other", pos=2), edit.zero("L1.z", head=1), edit.scale("L0.head_out", factor=0.5),
        edit.scale("L1.attn_norm_scale", factor=1.2), edit.zero("L1.pattern", head=0),
    ]  # fmt: skip
    sites = ["resid_mid", "resid_post", "z", "pattern", "head_out", "attn_norm_scale", "mlp_post", "final_norm"]
    more: Any = {"edits": edits, "sources": {"other": OTHER}, "capture": sites}
    one, two = spread.run(IDS, **more), plain.run(IDS, **more)
    assert torch.equal(one.logits, two.logits)
    assert set(one.captured) == set(two.captured)
    assert all(torch.equal(one[site], two[site]) for site in two.captured)


def test_sweeps_by_either_engine(pair: tuple[Model, Model]) -> None:
    spread, plain = pair
    experiment = sweep(
        edit.patch("resid_pre", source="other"), over=["layer", "pos"],
        inputs={"clean": IDS, "other": OTHER}, base="clean", metrics=[metric.logit_diff(7, 8)],
    )  # fmt: skip
    # only where the unembedding stays in place are its columns for named tokens taken, which rounds in another way
    for options in ({"engine": "naive"}, {"engine": "scheduled", "without": ["vocab"]}):
        one, two = (model.measure(experiment, **options) for model in pair)  # type: ignore[arg-type]
        assert np.array_equal(one["logit_diff"].values, two["logit_diff"].values)
        assert one.cost.token_layers == two.cost.token_layers
    # what the schedule skips is given back its own forward, which brings weights in
    assert all(module.forward is not None for module in spread.native.modules())
    assert torch.equal(spread.run(IDS).logits, plain.run(IDS).logits)


def test_gradients_harvests_and_generation(pair: tuple[Model, Model]) -> None:
    spread, _ = pair
    one, two = (model.gradients(IDS, of=metric.logit(3), sites=["z", "L0.resid_mid"]) for model in pair)
    assert all(torch.equal(one[site], two[site]) for site in two)
    held = empty(spread.native)
    first, second = (model.harvest(IDS, ["L1.z", "L1.mlp_out"], statistics="mean") for model in pair)
    assert all(torch.equal(first.tensors[site], second.tensors[site]) for site in second.tensors)
    assert empty(spread.native) == held, "a pass that ended early left weights in memory"
    texts = [model.generate(IDS, max_new_tokens=4, edits=edit.zero("L1.z", head=1)).tokens for model in pair]
    assert texts[0] == texts[1]


def test_accelerates_own_forward_is_put_back(pair: tuple[Model, Model]) -> None:
    spread, _ = pair
    before = {name: module.__dict__.get("forward") for name, module in spread.native.named_modules()}
    experiment = sweep(
        edit.zero("resid_pre"), over={"layer": [1], "pos": [1]},
        inputs={"clean": IDS}, base="clean", metrics=[metric.logit(7)],
    )  # fmt: skip
    spread.measure(experiment, engine="scheduled")
    assert {name: module.__dict__.get("forward") for name, module in spread.native.named_modules()} == before
    assert any(before.values())


def test_a_weight_out_of_reach() -> None:
    hollow = nn.Linear(2, 3, device="meta")
    assert weight_of(hollow) is None and stored(hollow, "weight") is None
    assert input_device(hollow) == torch.device("meta") and input_device(nn.ReLU()) == torch.device("cpu")
    assert weight_of(nn.Linear(2, 3, bias=False), "bias") is None
    with pytest.raises(InputError, match="weight is on the meta device"):
        fingerprint(hollow)


def test_blocks_that_bring_their_whole_inside(tmp_path: Path) -> None:
    """accelerate can also bring in a block at once, from above: `preload_module_classes`."""
    from accelerate import cpu_offload

    plain = tiny_llama()
    wanted = plain.fingerprint
    native = cpu_offload(tiny_llama().native, preload_module_classes=["LlamaDecoderLayer"])
    assert empty(native)
    assert fingerprint(native) == wanted
    assert torch.equal(assay.load(native).run(IDS).logits, plain.run(IDS).logits)
