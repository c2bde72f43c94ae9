"""Sites of transformers' own models against values worked out from native parts, one test for what each adds.

Structure is found by evidence; here each value is named: which module's output it is, and what formula gives it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from tests.conformance import zoo
from tests.models.follow import Call, follow
from torch import Tensor, nn

import assay

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
"""float32 sums of some dozen terms of order 1 to 10, in another order than in native code."""


@dataclass(frozen=True)
class Known:
    """A tiny model with everything that its modules passed, and everything that assay captured."""

    native: nn.Module
    model: assay.Model
    calls: dict[str, Call]
    run: Any
    inputs: dict[str, Any]

    def __getitem__(self, site: str) -> Tensor:
        return self.run[site]


@cache
def known(name: str) -> Known:
    native, inputs = zoo.build(name)
    whole = set(inputs) <= {"input_ids", "pixel_values"}
    model = assay.load(native, inputs=None if whole else inputs)
    calls, _ = follow(native, {**inputs, "use_cache": False} if model.network.takes("use_cache") else inputs)
    run = model.run(inputs, capture=[str(site) for site in model.sites])
    return Known(native, model, calls, run, inputs)


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.detach(), **CLOSE)


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))


def shares(z: Tensor, weight: Tensor) -> Tensor:
    """Each head's z through its columns of a weight [d_model, head·d_head], head by head."""
    size = z.shape[-1]
    return torch.stack([z[:, :, h] @ weight[:, h * size : (h + 1) * size].T for h in range(z.shape[2])], 2)


def rotated(k: Known, q: Tensor, key: Tensor, module: str, rotary: str) -> tuple[Tensor, Tensor]:
    """[batch, pos, head, d] after the model file's own rotary function."""
    file = importlib.import_module(module)
    cos, sin = k.calls[rotary].out
    turned = file.apply_rotary_pos_emb(q.transpose(1, 2), key.transpose(1, 2), cos, sin)
    return turned[0].transpose(1, 2), turned[1].transpose(1, 2)


def causal(scores: Tensor) -> Tensor:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


def test_llama_grouped_queries_and_rotary_positions() -> None:
    k, at = known("llama"), "model.layers.1"
    attention = k.native.model.layers[1].self_attn
    q, key, v = (split(k.calls[f"{at}.self_attn.{n}_proj"].y, h) for n, h in (("q", 4), ("k", 2), ("v", 2)))
    same(k["L1.q"], q)
    same(k["L1.k"], key)
    same(k["L1.v"], v)
    turned = rotated(k, q, key, "transformers.models.llama.modeling_llama", "model.rotary_emb")
    same(k["L1.q_rot"], turned[0])
    same(k["L1.k_rot"], turned[1])
    repeated = turned[1].repeat_interleave(2, dim=2)
    pattern = causal(torch.einsum("bqhd,bkhd->bhqk", turned[0], repeated) * attention.scaling)
    same(k["L1.pattern"], pattern)
    z = torch.einsum("bhqk,bkhd->bqhd", pattern, v.repeat_interleave(2, dim=2))
    same(k["L1.z"], z)
    same(k["L1.head_out"], shares(z, attention.o_proj.weight))
    same(k["L1.attn_out"], k.calls[f"{at}.self_attn.o_proj"].y)
    same(k["L1.attn_in"], k.calls[f"{at}.input_layernorm"].y)
    same(k["L1.mlp_in"], k.calls[f"{at}.post_attention_layernorm"].y)
    same(k["L1.resid_mid"], k.calls[f"{at}.post_attention_layernorm"].x)
    same(k["L1.mlp_pre"], k.calls[f"{at}.mlp.gate_proj"].y)
    same(k["L1.mlp_up"], k.calls[f"{at}.mlp.up_proj"].y)
    same(k["L1.mlp_post"], k.calls[f"{at}.mlp.down_proj"].x)
    same(k["L1.mlp_out"], k.calls[f"{at}.mlp"].y)
    x = k.calls[at].x
    same(k["L1.resid_pre"], x)
    eps = k.native.config.rms_norm_eps
    same(k["L1.attn_norm_scale"], (x.square().mean(-1, keepdim=True) + eps).sqrt())
    same(k["final_norm"], k.calls["model.norm"].y)
    same(k["embed"], k.calls["model.embed_tokens"].y)
    assert dict(k.model.site("L1.k").sizes) == {"kv_head": 2, "d_head": 8}


def test_scores_are_what_the_softmax_reads_mask_included() -> None:
    k = known("llama")
    scores, pattern = k["L0.scores"], k["L0.pattern"]
    same(scores.softmax(-1), pattern)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    assert bool((scores[..., future] < -1e30).all())
    assert bool((pattern[..., future] == 0).all())


def test_gpt2_takes_its_fused_projection_apart() -> None:
    k, at = known("gpt2"), "transformer.h.0"
    fused = k.calls[f"{at}.attn.c_attn"].y
    width = fused.shape[-1] // 3
    for i, name in enumerate("qkv"):
        same(k[f"L0.{name}"], split(fused[..., i * width : (i + 1) * width], 4))
    z = split(k.calls[f"{at}.attn.c_proj"].x, 4)
    same(k["L0.z"], z)
    weight = k.native.transformer.h[0].attn.c_proj.weight  # Conv1D: [in, out]
    assert weight.shape[0] == weight.shape[1], "square, so a transposed weight would not be noticed by its shape"
    same(k["L0.head_out"], shares(z, weight.T))
    same(k["L0.head_out"].sum(2) + k.native.transformer.h[0].attn.c_proj.bias, k["L0.attn_out"])
    same(k["L0.mlp_pre"], k.calls[f"{at}.mlp.c_fc"].y)
    assert k.model.why_not("L0.mlp_up") == "this MLP is not gated"
    length = k.inputs["input_ids"].shape[1]
    same(k["pos_embed"][0], k.native.transformer.wpe.weight[:length])
    same(k["embed"] + k["pos_embed"], k["L0.resid_pre"])
    same(k["L0.resid_mid"], k.calls[f"{at}.ln_2"].x)


def test_gpt_neox_is_parallel_and_interleaves_its_heads() -> None:
    k, at = known("gpt_neox"), "gpt_neox.layers.1"
    assert k.model.network.structure.kinds[None, 1] == "parallel"
    fused = k.calls[f"{at}.attention.query_key_value"].y.unflatten(-1, (4, 3, -1))  # [.., head, q|k|v, d]
    for i, name in enumerate("qkv"):
        same(k[f"L1.{name}"], fused[..., i, :])
    assert "parallel" in (k.model.why_not("L1.resid_mid") or "")
    same(k["L1.resid_pre"] + k["L1.attn_out"] + k["L1.mlp_out"], k.calls[at].y)
    same(k["L1.mlp_in"], k.calls[f"{at}.post_attention_layernorm"].y)
    assert not torch.allclose(k["L1.mlp_in"], k["L1.attn_in"])
    turned = k["L1.q_rot"] - k["L1.q"]
    part = int(turned.shape[-1] * 0.25)
    assert float(turned[..., part:].abs().max()) == 0, "only a quarter of each head is rotated"
    assert float(turned[:, 1:, :, :part].abs().max()) > 0.01


def test_gemma2_adds_what_the_second_norm_returns() -> None:
    k, at = known("gemma2"), "model.layers.1"
    same(k["L1.attn_out"], k.calls[f"{at}.post_attention_layernorm"].y)
    same(k["L1.mlp_out"], k.calls[f"{at}.post_feedforward_layernorm"].y)
    assert not torch.allclose(k["L1.attn_out"], k.calls[f"{at}.self_attn"].y, atol=0.01)
    same(k["L1.resid_mid"], k.calls[f"{at}.pre_feedforward_layernorm"].x)
    same(k["L1.head_out"].sum(2), k.calls[f"{at}.self_attn"].y)  # shares of the module's output, before the norm
    same(k["L1.mlp_in"], k.calls[f"{at}.pre_feedforward_layernorm"].y)


def test_gemma2_caps_its_scores_before_the_mask() -> None:
    k = known("gemma2")
    attention = k.native.model.layers[1].self_attn
    repeated = k["L1.k_rot"].repeat_interleave(2, dim=2)
    raw = torch.einsum("bqhd,bkhd->bhqk", k["L1.q_rot"], repeated) * attention.scaling
    cap = k.native.config.attn_logit_softcapping
    capped = torch.tanh(raw / cap) * cap
    seen = k["L1.scores"] > -1e30
    assert bool(seen.any()) and not bool(seen.all())
    same(k["L1.scores"][seen], capped[seen])
    final = k.native.config.final_logit_softcapping
    same(k["logits"], torch.tanh(k.calls["lm_head"].y / final) * final)


def test_gpt_oss_leaves_room_for_its_sinks() -> None:
    k = known("gpt_oss")
    attention = k.native.model.layers[0].self_attn
    n = k.inputs["input_ids"].shape[1]
    assert k["L0.scores"].shape[-1] == k["L0.pattern"].shape[-1] == n
    repeated = k["L0.k_rot"].repeat_interleave(2, dim=2)
    raw = torch.einsum("bqhd,bkhd->bhqk", k["L0.q_rot"], repeated) * attention.scaling
    future = torch.ones(n, n, dtype=torch.bool).triu(1) | torch.ones(n, n, dtype=torch.bool).tril(-4)  # a window of 4
    raw = raw.masked_fill(future, float("-inf"))
    sink = attention.sinks.reshape(1, -1, 1, 1).expand(raw.shape[0], -1, n, 1)
    full = torch.cat([raw, sink], -1)
    same(k["L0.pattern"], full.softmax(-1)[..., :-1])
    largest = full.max(-1, keepdim=True).values  # native code subtracts it before the softmax
    same(k["L0.scores"][..., ~future], (raw - largest)[..., ~future])
    assert float(k["L0.pattern"].sum(-1).max()) < 0.999
    assert k.model.network.structure.sinks[None, 0] == 1
    same(k["L0.z"], split(k.calls["model.layers.0.self_attn.o_proj"].x, 4))
    bias = attention.o_proj.bias
    same(k["L0.head_out"].sum(2) + bias, k["L0.attn_out"])


def test_mixtral_routes() -> None:
    k, at = known("mixtral"), "model.layers.0"
    hidden = k.calls[f"{at}.post_attention_layernorm"].y
    gate = k.native.model.layers[0].mlp.gate
    logits = hidden.flatten(0, 1) @ gate.weight.T
    same(k["L0.router"], logits.unflatten(0, hidden.shape[:2]))
    chances = logits.softmax(-1)
    best, chosen = chances.topk(2, dim=-1)
    dense = torch.zeros_like(chances).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
    same(k["L0.expert_weights"], dense.unflatten(0, hidden.shape[:2]))
    same(k["L0.mlp_out"], k.calls[f"{at}.mlp"].y)
    same(k["L0.mlp_in"], hidden)
    assert k.model.why_not("L0.mlp_post") == "its experts each have their own"
    assert not k.model.site("L0.router").writable, "the experts are chosen when the router returns"


def test_deepseek_v3_has_what_its_latent_attention_defines() -> None:
    k, at = known("deepseek_v3"), "model.layers.1.self_attn"
    attention = k.native.model.layers[1].self_attn
    z = split(k.calls[f"{at}.o_proj"].x, 4)
    same(k["L1.z"], z)
    assert z.shape[-1] == k.native.config.v_head_dim != k["L1.q"].shape[-1]
    same(k["L1.head_out"], shares(z, attention.o_proj.weight))
    nope = k.native.config.qk_nope_head_dim
    joint = split(k.calls[f"{at}.kv_b_proj"].y.squeeze(1), 4)
    same(k["L1.v"], joint[..., nope:])
    same(torch.einsum("bhqk,bkhd->bqhd", k["L1.pattern"], k["L1.v"]), z)
    same(k["L1.q_rot"][..., :nope], split(k.calls[f"{at}.q_b_proj"].y, 4)[..., :nope])
    assert "see docs" in (k.model.why_not("L1.k") or ""), "one part of each key is low-rank, another shared"


def test_bert_adds_before_its_norms() -> None:
    k, at = known("BertForMaskedLM"), "bert.encoder.layer.1"
    assert k.model.network.structure.kinds[None, 1] == "post-norm"
    same(k["L1.attn_out"], k.calls[f"{at}.attention.output.dense"].y)
    same(k["L1.resid_mid"], k.calls[f"{at}.attention.output.LayerNorm"].x)
    same(k["L1.resid_mid"], k["L1.resid_pre"] + k["L1.attn_out"])
    same(k["L1.mlp_in"], k.calls[f"{at}.attention.output.LayerNorm"].y)
    same(k["L1.mlp_out"], k.calls[f"{at}.output.dense"].y)
    same(k["L1.resid_post"], k.calls[f"{at}.output.LayerNorm"].y)
    same(k.native.bert.encoder.layer[1].output.LayerNorm(k["L1.mlp_in"] + k["L1.mlp_out"]), k["L1.resid_post"])
    pattern = (torch.einsum("bqhd,bkhd->bhqk", k["L1.q"], k["L1.k"]) / k["L1.q"].shape[-1] ** 0.5).softmax(-1)
    same(k["L1.pattern"], pattern)
    assert float(pattern.triu(1).max()) > 0.01, "an encoder sees what comes later"


def test_t5_has_an_encoder_and_a_decoder_that_attends_to_it() -> None:
    k = known("T5ForConditionalGeneration")
    assert dict(k.model.network.structure.depth) == {"enc": 2, "dec": 2}
    for stack, at in (("enc", "encoder.block.1"), ("dec", "decoder.block.1")):
        x = k.calls[at].x
        same(k[f"{stack}.L1.resid_pre"], x)
        same(k[f"{stack}.L1.attn_out"], k.calls[f"{at}.layer.0.SelfAttention.o"].y)
        same(k[f"{stack}.L1.resid_mid"], k.calls[f"{at}.layer.0"].y)
    same(k["dec.L1.cross_attn_out"], k.calls["decoder.block.1.layer.1.EncDecAttention.o"].y)
    same(k["dec.L1.resid_mid_cross"], k.calls["decoder.block.1.layer.1"].y)
    same(k["dec.L1.cross_q"], split(k.calls["decoder.block.1.layer.1.EncDecAttention.q"].y, 4))
    same(k["dec.L1.cross_k"], split(k.calls["decoder.block.1.layer.1.EncDecAttention.k"].y, 4))
    memory = k.calls["encoder"].out[0]
    weight = k.native.decoder.block[1].layer[1].EncDecAttention.v.weight
    same(k["dec.L1.cross_v"], split(memory @ weight.T, 4))
    same(torch.einsum("bhqk,bkhd->bqhd", k["dec.L1.cross_pattern"], k["dec.L1.cross_v"]), k["dec.L1.cross_z"])
    assert k["dec.L1.cross_pattern"].shape[-1] == k.inputs["input_ids"].shape[1]
    assert k.model.why_not("enc.L0.cross_q") is not None


def test_bart_cross_attention_is_normed_after() -> None:
    k, at = known("BartForConditionalGeneration"), "model.decoder.layers.0"
    same(k["dec.L0.attn_out"], k.calls[f"{at}.self_attn.out_proj"].y)
    same(k["dec.L0.resid_mid"], k.calls[f"{at}.self_attn_layer_norm"].x)
    same(k["dec.L0.cross_attn_out"], k.calls[f"{at}.encoder_attn.out_proj"].y)
    same(k["dec.L0.cross_z"], split(k.calls[f"{at}.encoder_attn.out_proj"].x, 4))
    same(k["dec.L0.cross_attn_in"], k.calls[f"{at}.self_attn_layer_norm"].y)
    same(k["dec.L0.mlp_in"], k.calls[f"{at}.encoder_attn_layer_norm"].y)
    weight = k.native.model.decoder.layers[0].encoder_attn.out_proj
    same(k["dec.L0.cross_head_out"], shares(k["dec.L0.cross_z"], weight.weight))
    same(k["dec.L0.cross_head_out"].sum(2) + weight.bias, k["dec.L0.cross_attn_out"])


def test_mamba_has_a_recurrent_mixer_and_nothing_else() -> None:
    k, at = known("mamba"), "backbone.layers.1"
    same(k["L1.ssm_in"], k.calls[f"{at}.norm"].y)
    same(k["L1.ssm_out"], k.calls[f"{at}.mixer"].y)
    same(k["L1.resid_post"], k["L1.resid_pre"] + k["L1.ssm_out"])
    assert k.model.why_not("L1.attn_out") == "this block has no attention branch"
    assert k.model.why_not("L1.mlp_out") == "this block has no mlp branch"
    assert "single block" in (k.model.why_not("L1.resid_mid") or "")
    assert "recurrent state" in (k.model.why_not("L1.ssm_state") or "")


def test_vit_sees_patches() -> None:
    k = known("ViTForImageClassification")
    layers = [p for p in k.calls if p.endswith(".1") and "layer" in p]
    at = min(layers, key=len)
    same(k["L1.resid_pre"], k.calls[at].x)
    same(k["L1.resid_post"], k.calls[at].y)
    same(k["L1.resid_mid"], k["L1.resid_pre"] + k["L1.attn_out"])
    same(k["L1.resid_post"], k["L1.resid_mid"] + k["L1.mlp_out"])
    pattern = (torch.einsum("bqhd,bkhd->bhqk", k["L1.q"], k["L1.k"]) / k["L1.q"].shape[-1] ** 0.5).softmax(-1)
    same(k["L1.pattern"], pattern)
    same(torch.einsum("bhqk,bkhd->bqhd", pattern, k["L1.v"]), k["L1.z"])
    assert k.model.why_not("embed") is not None


NAMES = ["llama", "gpt2", "gpt_neox", "gemma2", "gpt_oss", "mixtral", "deepseek_v3", "BertForMaskedLM", "mamba",
         "T5ForConditionalGeneration", "BartForConditionalGeneration", "ViTForImageClassification"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_absent_site_has_a_reason_and_every_site_has_none(name: str) -> None:
    k = known(name)
    structure = k.model.network.structure
    assert not set(structure.sites) & set(structure.reasons)
    for site in structure.sites:
        assert k.model.why_not(site) is None
    for site, reason in structure.reasons.items():
        assert k.model.why_not(site) == reason
        assert len(reason) > 10


@pytest.mark.parametrize("name", NAMES)
def test_other_libraries_names_give_the_same_values(name: str) -> None:
    k = known(name)
    stack = next(iter(k.model.network.structure.depth))
    prefix, blocks = (f"{stack}.", f"{stack}oder.") if stack else ("", "blocks.")
    aliases = {
        f"{blocks}1.hook_resid_post": f"{prefix}L1.resid_post",
        f"{blocks}1.hook_attn_out": f"{prefix}L1.attn_out",
        f"{blocks}1.attn.hook_pattern": f"{prefix}L1.pattern",
        f"{blocks}1.attn.hook_z": f"{prefix}L1.z",
        f"{blocks}1.mlp.hook_post": f"{prefix}L1.mlp_post",
    }
    there = {alias: ours for alias, ours in aliases.items() if k.model.why_not(ours) is None}
    assert there
    run = k.model.run(k.inputs, capture=list(there))
    for alias, ours in there.items():
        assert torch.equal(run[alias], k[ours])
        assert k.model.site(alias) == k.model.site(ours)


def test_names_of_nnterp_and_addresses_of_interp_engine_give_the_same_values() -> None:
    k = known("llama")
    aliases = {"layers_output[1]": "L1.resid_post", "mlps_output[-1]": "L1.mlp_out", "resid_pre.1": "L1.resid_pre"}
    run = k.model.run(k.inputs, capture=list(aliases))
    for alias, ours in aliases.items():
        assert torch.equal(run[alias], k[ours])
