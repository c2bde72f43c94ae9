"""Values at sites against nnsight, which reads native modules by path: one trace of a whole pass."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from tests.peers.families import FAMILIES, VALUES, Subject, difference, subject
from torch import Tensor

pytestmark = pytest.mark.peers

LLAMA = {
    "embed": "model.embed_tokens:output",
    "resid_pre": "model.layers.{L}:input", "attn_in": "model.layers.{L}.input_layernorm:output",
    "q": "model.layers.{L}.self_attn.q_proj:output", "k": "model.layers.{L}.self_attn.k_proj:output",
    "v": "model.layers.{L}.self_attn.v_proj:output",
    "q_rot": "model.layers.{L}.self_attn:attention:1", "k_rot": "model.layers.{L}.self_attn:attention:2",
    "pattern": "model.layers.{L}.self_attn:attention:weights", "z": "model.layers.{L}.self_attn.o_proj:input",
    "attn_out": "model.layers.{L}.self_attn.o_proj:output",
    "resid_mid": "model.layers.{L}.post_attention_layernorm:input",
    "mlp_in": "model.layers.{L}.post_attention_layernorm:output",
    "mlp_pre": "model.layers.{L}.mlp.gate_proj:output", "mlp_up": "model.layers.{L}.mlp.up_proj:output",
    "mlp_post": "model.layers.{L}.mlp.down_proj:input", "mlp_out": "model.layers.{L}.mlp:output",
    "resid_post": "model.layers.{L}:output", "final_norm": "model.norm:output", "logits": "lm_head:output",
}  # fmt: skip

PLACES: dict[str, dict[str, str]] = {
    "llama": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA,
    "gemma2": LLAMA | {
        "attn_out": "model.layers.{L}.post_attention_layernorm:output",
        "resid_mid": "model.layers.{L}.pre_feedforward_layernorm:input",
        "mlp_in": "model.layers.{L}.pre_feedforward_layernorm:output",
        "mlp_out": "model.layers.{L}.post_feedforward_layernorm:output",
        "logits": ":logits",  # after the soft cap, which is no module
    },
    "gpt2": {
        "embed": "transformer.wte:output", "pos_embed": "transformer.wpe:output",
        "resid_pre": "transformer.h.{L}:input", "attn_in": "transformer.h.{L}.ln_1:output",
        "q": "transformer.h.{L}.attn.c_attn:output:0", "k": "transformer.h.{L}.attn.c_attn:output:1",
        "v": "transformer.h.{L}.attn.c_attn:output:2",
        "q_rot": "transformer.h.{L}.attn:attention:1", "k_rot": "transformer.h.{L}.attn:attention:2",
        "pattern": "transformer.h.{L}.attn:attention:weights", "z": "transformer.h.{L}.attn.c_proj:input",
        "attn_out": "transformer.h.{L}.attn.c_proj:output",
        "resid_mid": "transformer.h.{L}.ln_2:input", "mlp_in": "transformer.h.{L}.ln_2:output",
        "mlp_pre": "transformer.h.{L}.mlp.c_fc:output", "mlp_post": "transformer.h.{L}.mlp.c_proj:input",
        "mlp_out": "transformer.h.{L}.mlp.c_proj:output", "resid_post": "transformer.h.{L}:output",
        "final_norm": "transformer.ln_f:output", "logits": "lm_head:output",
    },
    "gpt_neox": {
        "embed": "gpt_neox.embed_in:output", "resid_pre": "gpt_neox.layers.{L}:input",
        "attn_in": "gpt_neox.layers.{L}.input_layernorm:output",
        "q": "gpt_neox.layers.{L}.attention.query_key_value:by head:0",
        "k": "gpt_neox.layers.{L}.attention.query_key_value:by head:1",
        "q_rot": "gpt_neox.layers.{L}.attention:attention:1", "k_rot": "gpt_neox.layers.{L}.attention:attention:2",
        "v": "gpt_neox.layers.{L}.attention:attention:3", "pattern": "gpt_neox.layers.{L}.attention:attention:weights",
        "z": "gpt_neox.layers.{L}.attention.dense:input", "attn_out": "gpt_neox.layers.{L}.attention.dense:output",
        "mlp_in": "gpt_neox.layers.{L}.post_attention_layernorm:output",
        "mlp_pre": "gpt_neox.layers.{L}.mlp.dense_h_to_4h:output",
        "mlp_post": "gpt_neox.layers.{L}.mlp.dense_4h_to_h:input",
        "mlp_out": "gpt_neox.layers.{L}.mlp.dense_4h_to_h:output", "resid_post": "gpt_neox.layers.{L}:output",
        "final_norm": "gpt_neox.final_layer_norm:output", "logits": "lm_head:output",
    },
}  # fmt: skip
"""Where nnsight finds each site: `<module path>:<input|output>[:<which third of it>]`, `:by head:<which third of each
head's part>`, or `:attention:<which argument of the attention function, or the weights that it returns>`.
"""

NO_TENSOR = {
    "attn_norm_scale": "computed inside a norm", "mlp_norm_scale": "computed inside a norm",
    "final_norm_scale": "computed inside a norm", "scores": "computed inside the attention function",
    "head_out": "no tensor of the native code: one would multiply z with the projection by hand",
}  # fmt: skip
"""Sites that nnsight reaches by no module and no line of the attention code that returns them, with the reason."""


def read(wrapped: Any, place: str) -> Tensor:
    """Inside a trace: what nnsight has at a place."""
    path, kind, *more = place.split(":")
    if kind == "logits":
        return wrapped.output.logits
    module = wrapped.get(path)
    if kind == "attention":
        call = module.source.attention_interface_1
        return call.output[1] if more == ["weights"] else call.inputs[0][int(more[0])]
    if kind == "by head":
        heads = wrapped._module.config.num_attention_heads
        return module.output.unflatten(-1, (heads, -1)).chunk(3, dim=-1)[int(more[0])]
    value = module.input if kind == "input" else module.output
    return value.chunk(3, dim=-1)[int(more[0])] if more else value


def as_ours(value: Tensor, place: str, ours: Tensor) -> Tensor:
    """nnsight hands out native tensors: heads are joined in projections, and lead in the attention function."""
    if ":attention:" in place and not place.endswith(":weights"):
        return value.transpose(1, 2)
    value = value.unflatten(-1, ours.shape[2:]) if ours.ndim == 4 and value.ndim == 3 else value
    return value.expand_as(ours) if value.shape[0] == 1 else value  # learned positions are looked up once for a batch


def traced(nnsight: ModuleType, one: Subject, place: str) -> Tensor:
    wrapped = nnsight.NNsight(one.copy())
    with torch.no_grad(), wrapped.trace(one.ids):
        value = read(wrapped, place).save()
    return value  # noqa: RET504 (nnsight runs the trace's body elsewhere: it cannot return from it)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_has_the_value_that_nnsight_reads(nnsight: ModuleType, family: str) -> None:
    one, wrong, compared = subject(family), [], 0
    ours = one.everything()
    for site in one.model.sites:
        place = PLACES[family].get(site.name.name)
        if place is None:
            assert site.name.name in NO_TENSOR, f"no place for {site.name}, and no reason"
            continue
        place = place.format(L=site.name.layer)
        value = as_ours(traced(nnsight, one, place), place, ours[str(site.name)])
        compared += 1
        if (found := difference(ours[str(site.name)], value)) > VALUES:
            wrong.append(f"{site.name}: {found:.1e}")
    assert not wrong
    assert compared > 25
