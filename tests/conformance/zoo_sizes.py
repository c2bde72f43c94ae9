"""Tiny configurations: every field of a transformers configuration that is a size gets a small value.

A configuration class is instantiated with its defaults, the fields that it really has are looked up in `SIZES`, its
per-layer lists are cut to one entry per kind of layer, and its nested configurations are treated the same way. What
this cannot know (dimensions that must agree, counts that must divide) is set by hand in `zoo_overrides`.

The numbers differ from each other where an architecture lets them (heads 4, key-value heads 2, head size 8, width 32,
feed-forward 64, vocabulary 128), so that a tensor of the wrong kind rarely has the right shape by accident. Widths are
small because evidence, not capacity, is wanted: a forward pass takes a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

VOCABULARY = 128
"""Token ids 0-3 are kept for padding, start, end and unknown; inputs are drawn from 4 up."""

# fmt: off
SIZES: dict[str, Any] = {
    # token and position tables
    "vocab_size": VOCABULARY, "decoder_vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY,
    "max_position_embeddings": 64, "n_positions": 64, "n_ctx": 64, "max_seq_len": 64, "model_max_length": 64,
    "max_source_positions": 32, "max_target_positions": 64, "original_max_position_embeddings": 64,
    "max_position_embedding": 64, "unpadded_vocab_size": VOCABULARY,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "unk_token_id": 3,
    "sep_token_id": 2, "cls_token_id": 1, "mask_token_id": 3, "eod_token_id": 2, "forced_eos_token_id": None,
    "forced_bos_token_id": None, "pad_index": 0, "mask_index": 3, "unk_index": 3, "bos_index": 1, "eos_index": 2,
    # width
    "hidden_size": 32, "n_embd": 32, "d_model": 32, "dim": 32, "embedding_size": 32, "emb_dim": 32, "embed_dim": 32,
    "word_embed_proj_dim": 32, "embedding_dim": 32, "lru_width": 32, "input_embedding_size": 32,
    "output_embedding_size": 32, "hidden_size_per_layer_input": 8, "backbone_hidden_size": 32, "projection_dim": 32,
    # depth
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 2,
    "num_encoder_layers": 2, "num_decoder_layers": 2, "num_blocks": 2, "depth": 2, "num_layers_per_stack": 2,
    # attention
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4, "num_kv_heads": 2,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4, "num_key_value_heads": 2, "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2, "head_dim": 8, "swa_head_dim": 8, "d_head": 8, "dim_head": 8, "d_kv": 8,
    "attention_head_size": 8, "attention_head_dim": 8, "kv_channels": 8, "rotary_dim": 4,
    "sliding_window": 4, "sliding_window_size": 4, "attention_window_size": 4, "local_attention": 8,
    "attention_window": 8, "window_size": 4, "attention_chunk_size": 4, "max_window_layers": 1,
    "local_attention_window_len": 8,
    # latent and indexed attention
    "q_lora_rank": 12, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "qk_head_dim": 12,
    "v_head_dim": 6, "o_lora_rank": 8, "o_groups": 2, "index_topk": 4, "index_head_dim": 8, "index_n_heads": 2,
    "index_block_size": 2, "index_topk_blocks": 2, "gated_norm_rank": 4, "d_rel": 4, "rel_extent": 8,
    # feed-forward
    "intermediate_size": 64, "ffn_dim": 64, "n_inner": 64, "d_ff": 64, "decoder_ffn_dim": 64, "encoder_ffn_dim": 64,
    "ffn_hidden_size": 64, "dim_ff": 64, "dff": 64, "d_inner": 64, "hidden_dim": 64, "feed_forward_size": 64,
    "intermediate_size_mlp": 64, "dense_intermediate_size": 64, "block_multiple_of": 16, "mlp_dim": 64,
    # experts
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "num_experts_per_tok": 2,
    "num_experts_per_token": 2, "moe_topk": 2, "moe_top_k": 2, "moe_k": 2, "moe_intermediate_size": 24,
    "n_shared_experts": 1, "num_shared_experts": 1, "moe_num_shared_experts": 1, "expert_ffn_hidden_size": 24,
    "shared_expert_intermediate_size": 24, "shared_experts_intermediate_size": 24, "shared_intermediate_size": 24,
    "moe_shared_expert_intermediate_size": 24, "first_k_dense_replace": 1, "num_dense_layers": 1, "n_group": 1,
    "topk_group": 1, "num_expert_group": 1, "zero_expert_num": 2, "router_hidden_size": 16,
    # state-space and linear attention
    "state_size": 8, "ssm_state_size": 8, "expand": 2, "conv_kernel": 4, "time_step_rank": 4, "mamba_dt_rank": 4,
    "mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_headdim": 16, "mamba_expand": 2,
    "mamba_n_groups": 1, "mamba_ngroups": 1, "n_groups": 1, "mamba_num_heads": 4, "n_mamba_heads": 2,
    "mamba_head_dim": 16, "mamba_chunk_size": 4, "chunk_size": 4, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_heads": 4,
    "linear_head_dim": 8, "attention_hidden_size": 32,
    # images and sound
    "image_size": 16, "patch_size": 8, "num_mel_bins": 8,
}
# fmt: on

PER_LAYER = (
    "layer_types",
    "mlp_layer_types",
    "indexer_types",
    "layers_block_type",
    "layer_rope_theta",
    "no_rope_layers",
    "activation_sparsity_pattern",
    "num_attention_heads_per_layer",
)
"""Lists with one entry per layer."""

DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
UNSET_MEANS_OFF = ("sliding_window", "head_dim", "q_lora_rank", "n_inner", "embedding_size", "num_key_value_heads")
"""Fields whose default None switches a feature off, or means 'derive it'."""

Overrides = dict[str, Any]


@dataclass(frozen=True)
class Nested:
    """An override that puts a tiny configuration of another model type into a field (a vision tower, a text model)."""

    model_type: str
    overrides: Overrides = field(default_factory=dict)


def shrink(config_class: type[PretrainedConfig], overrides: Overrides | None = None) -> PretrainedConfig:
    """A tiny configuration of this class; `overrides` win, and a dict for a nested configuration is merged into it."""
    chosen = {name: _resolved(value) for name, value in (overrides or {}).items()}
    default = config_class(**{name: value for name, value in chosen.items() if isinstance(value, PretrainedConfig)})
    fields = default.to_dict()
    values = {name: size for name, size in SIZES.items() if name in fields and not _is_off(name, fields[name])}
    values |= _layers(fields, chosen)
    for name, nested in vars(default).items():
        if isinstance(nested, PretrainedConfig) and not isinstance(chosen.get(name), PretrainedConfig):
            values[name] = shrink(type(nested), chosen.pop(name, None))
    return config_class(**(values | chosen))


def _resolved(value: object) -> object:
    return shrink(CONFIG_MAPPING[value.model_type], value.overrides) if isinstance(value, Nested) else value


def _is_off(name: str, default: object) -> bool:
    return default is None and name in UNSET_MEANS_OFF


def _layers(fields: dict[str, Any], chosen: Overrides) -> dict[str, Any]:
    """Per-layer lists cut to one entry per kind, and the depth that lets every kind appear."""
    lists = {name: list(dict.fromkeys(fields[name])) for name in PER_LAYER if isinstance(fields.get(name), list)}
    lists |= {name: value for name, value in chosen.items() if name in PER_LAYER and value is not None}
    lists = {name: kinds for name, kinds in lists.items() if kinds}
    hand_set = next((chosen[name] for name in DEPTHS if name in chosen), None)
    depth = hand_set or max([2, *(len(kinds) for kinds in lists.values())])
    cut = {name: (kinds * depth)[:depth] for name, kinds in lists.items()}
    return cut | {name: depth for name in DEPTHS if name in fields}
