"""The plain transformer: every site of every kind of it, its checkpoint, its masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import assay
from assay.models.plain import PlainConfig, PlainTransformer

EXACT = {"atol": 1e-10, "rtol": 0}  # double precision, three layers
ATTENTION = {
    "attn_in", "q", "k", "v", "q_rot", "k_rot", "scores", "pattern", "z", "head_out", "attn_out", "resid_pre", "resid_post",
}  # fmt: skip
MLP = {"resid_mid", "mlp_in", "mlp_pre", "mlp_post", "mlp_out"}
NORMS = {"attn_norm_scale"}
KINDS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, ATTENTION),
    ({"d_mlp": 24}, ATTENTION | MLP),
    ({"d_mlp": 24, "activation": "gelu", "causal": False}, ATTENTION | MLP),
    ({"norm": "rms"}, ATTENTION | NORMS),
    ({"norm": "layer", "d_mlp": 24}, ATTENTION | NORMS | MLP | {"mlp_norm_scale"}),
]


def plain(**choices: Any) -> assay.Model:
    torch.manual_seed(0)
    config = PlainConfig(vocab_size=11, n_layers=3, n_heads=3, d_model=20, d_head=6, **choices)
    return assay.load(PlainTransformer(config).double())


@pytest.mark.parametrize(("choices", "expected"), KINDS)
def test_every_site_is_found_with_and_without_norms(choices: dict[str, Any], expected: set[str]) -> None:
    model = plain(**choices)
    for layer in range(3):
        assert {site.name.name for site in model.sites if site.layer == layer} == expected
    outside = {site.name.name for site in model.sites if site.layer is None}
    assert outside == {"embed", "pos_embed", "logits"} | (
        {"final_norm", "final_norm_scale"} if "norm" in choices else set()
    )


def test_attention_is_what_is_written_in_papers() -> None:
    model = plain(qk_scale=2.0, d_mlp=24)
    run = model.run([[1, 2, 3, 4, 5]], capture=["L1.q", "L1.k", "L1.pattern", "L1.z", "L1.attn_out"])
    scores = 2.0 * torch.einsum("bqhd,bkhd->bhqk", run["L1.q"], run["L1.k"])
    pattern = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf")).softmax(-1)
    torch.testing.assert_close(run["L1.pattern"], pattern, **EXACT)
    out = run["L1.z"].flatten(2) @ model.native.layers[1].attn.o_proj.weight.T
    torch.testing.assert_close(run["L1.attn_out"], out, **EXACT)


def test_only_a_causal_one_is_blind_to_what_comes() -> None:
    first, second = [[1, 2, 3, 4]], [[1, 2, 3, 9]]
    for causal in (True, False):
        model = plain(causal=causal)
        same = torch.allclose(model.run(first).logits[:, :3], model.run(second).logits[:, :3])
        assert same is causal


def test_padding_is_not_looked_at() -> None:
    native = plain(causal=False).native
    padded, mask = torch.tensor([[1, 2, 3, 0]]), torch.tensor([[1, 1, 1, 0]])
    torch.testing.assert_close(
        native(padded, attention_mask=mask).logits[:, :3], native(padded[:, :3]).logits, **EXACT
    )  # fmt: skip


def test_a_checkpoint_is_the_same_model(tmp_path: Path) -> None:
    model = plain(d_mlp=24, norm="rms")
    model.native.save_pretrained(tmp_path)
    again = assay.load(tmp_path)
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again.run([[1, 2, 3]]).logits, model.run([[1, 2, 3]]).logits)


def test_patching_in_it_is_the_same_under_both_engines() -> None:
    from assay import edit, metric
    from assay.experiments.sweep import sweep

    model = plain(d_mlp=24)
    inputs = {"clean": [[1, 2, 3, 4]], "corrupt": [[1, 5, 3, 4]]}
    experiment = sweep(
        edit.patch("z", source="corrupt"), {"layer": None, "head": None}, inputs=inputs, base="clean",
        metrics=[metric.logit_diff(6, 7, name="m")],
    )  # fmt: skip
    found = [model.measure(experiment, engine=engine)["m"].values for engine in ("scheduled", "naive")]
    assert abs(found[0] - found[1]).max() < 1e-6  # metrics are kept in single precision
