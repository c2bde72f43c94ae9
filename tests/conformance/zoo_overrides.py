"""Hand-set configuration fields: what the generic sizes of `zoo_sizes` cannot know.

Dimensions that must agree (latent attention, state-space heads), counts that must divide, lists of layer kinds that
keep at least one attention layer in a hybrid, and multipliers whose default of one would hide that they exist.
"""

from __future__ import annotations

from tests.conformance.zoo_sizes import Nested, Overrides

LATENT: Overrides = {"num_key_value_heads": 4, "head_dim": 4}
"""Multi-head latent attention: every head has its own key, and the rotary part of a head has `head_dim` numbers."""
DECODER: Overrides = {"is_decoder": True}
"""Encoders that transformers also offers as causal language models attend to the future unless told so."""
MIXED: Overrides = {"layer_types": ["linear_attention", "full_attention"]}
DOTS3_TEXT: Overrides = LATENT | {
    "swa_num_attention_heads": 2,
    "swa_num_key_value_heads": 2,
    "swa_q_lora_rank": 12,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 12,
    "swa_qk_nope_head_dim": 8,
    "swa_v_head_dim": 6,
}
GRANITE: Overrides = {
    "residual_multiplier": 0.7,
    "embedding_multiplier": 2.0,
    "attention_multiplier": 0.3,
    "logits_scaling": 2.0,
}
BLT_PART: Overrides = {"num_key_value_heads": 4, "hidden_size_global": 32}
SHARED_KEYS: Overrides = {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
}
"""The last two layers read the keys and values of the first two."""
GEMMA4_TEXT: Overrides = SHARED_KEYS | {"num_global_key_value_heads": 2, "global_head_dim": 16}
GEMMA4_ASSISTANT_TEXT: Overrides = GEMMA4_TEXT | {
    "hidden_size_per_layer_input": 0,
    "vocab_size_per_layer_input": 0,
    "num_kv_shared_layers": 4,
}
QWEN4_INDEXER: Overrides = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
    "hc_count": 2,
    "hc_lowrank": 8,
    "head_dim": 8,
}

# fmt: off
CAUSAL_OVERRIDES: dict[str, Overrides] = {
    "axk1": LATENT,
    "axk2": LATENT,
    "bailing_hybrid": LATENT | {"num_key_value_heads": 4},
    "bamba": {"attn_layer_indices": [1]},
    "bert": DECODER,
    "bert-generation": DECODER,
    "big_bird": DECODER | {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blt": {
        "encoder_hash_byte_group_vocab": 64, "patch_size": 2, "patcher_config": BLT_PART,
        "encoder_config": BLT_PART, "decoder_config": BLT_PART,
        # as released, it has more layers than what finds the patches
        "global_config": {"num_key_value_heads": 4, "num_hidden_layers": 3},
    },
    "camembert": DECODER,
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "cpmant": {"prompt_length": 4, "prompt_types": 8, "segment_types": 8, "position_bias_num_buckets": 16},
    "ctrl": {"dff": 64},
    "data2vec-text": DECODER,
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8}},
    "dory": {"num_hidden_layers": 3, "n_input_layers": 1, "n_recurrent_layers": 1, "n_output_layers": 1,
             "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "dots3_note": {
        "text_config": DOTS3_TEXT, "audio_config": {"adapter_input_size": 32, "adapter_out_dim": 32},
        "vision_config": {"adapter_in_dim": 32, "adapter_out_dim": 32},
    },
    "dots3_note_text": DOTS3_TEXT,
    "electra": DECODER,
    "ernie": DECODER,
    "ernie4_5_moe": {"moe_layer_end_index": 1},
    "falcon_h1": {
        "mamba_d_ssm": 64, "embedding_multiplier": 2.0, "key_multiplier": 0.7, "attention_out_multiplier": 0.8,
        "ssm_out_multiplier": 0.9, "lm_head_multiplier": 0.5, "mlp_multipliers": [0.8, 0.9],
    },
    "gemma3n_text": SHARED_KEYS,
    "gemma4": {"text_config": GEMMA4_TEXT},
    "gemma4_assistant": {"text_config": Nested("gemma4_text", GEMMA4_ASSISTANT_TEXT)},
    "gemma4_unified_assistant": {"text_config": Nested("gemma4_unified_text", {"num_kv_shared_layers": 2})},
    "gemma4_text": GEMMA4_TEXT,
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": LATENT,
    "got_ocr2": {"vision_config": {"output_channels": 16, "global_attn_indexes": [1]}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granite": GRANITE,
    "granite_swa": GRANITE,
    "granitemoe": GRANITE,
    "granitemoe_swa": GRANITE,
    "granitemoehybrid": GRANITE | MIXED,
    "granitemoeshared": GRANITE,
    "hrm_text": {"num_layers_per_stack": None, "embedding_scale": 2.0},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "hyperclovax": {"residual_multiplier": 0.7, "embedding_multiplier": 2.0, "attention_multiplier": 0.3},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "kimi_linear": LATENT,
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": LATENT,
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "megatron-bert": DECODER,
    "minicpm3": LATENT | {"v_head_dim": 6, "dim_model_base": 16},
    "ministral": {"head_dim": 8},
    "moshi": {"num_key_value_heads": 4},
    "nemotron": {"num_key_value_heads": 2},
    "phi4_multimodal": {"audio_config": {
        "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 8,
    }},
    "prophetnet": {"num_decoder_layers": 2, "num_encoder_layers": 2},
    "qwen4_exp": {"text_config": QWEN4_INDEXER},
    "qwen4_exp_text": QWEN4_INDEXER,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "reformer": {
        "is_decoder": True, "attn_layers": ["local", "lsh"], "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_buckets": 2, "hash_seed": 0,
    },
    "rembert": DECODER,
    "roberta": DECODER,
    "roberta-prelayernorm": DECODER,
    "roc_bert": DECODER | {
        "pronunciation_embed_dim": 8, "pronunciation_vocab_size": 16, "shape_embed_dim": 8, "shape_vocab_size": 16,
    },
    "roformer": DECODER,
    "sarvam_mla": LATENT,
    "xlm": {"n_langs": 1},
    "xlm-roberta": DECODER,
    "xlm-roberta-xl": DECODER,
    "xmod": DECODER | {"languages": ["en_XX", "de_DE"], "default_language": "en_XX"},
    "xlstm": {"ffn_round_up_to_multiple_of": 16, "chunk_size": 16,
              "hidden_size": 64, "embedding_dim": 64, "qk_dim_factor": 1.0},
    "youtu": LATENT,
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"], "attention_head_dim": 16,
        "attention_hidden_size": 64, "num_key_value_heads": 4,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"], "n_mamba_heads": 4, "num_key_value_heads": 4,
        "attention_hidden_size": 64, "attention_head_dim": 16, "adapter_rank": 4,
    },
    "zaya": {"num_experts_per_tok": 1},
}
# fmt: on

UNAVAILABLE: dict[str, str] = {
    "gemma3n": "its vision tower needs the timm package; its language model is covered as gemma3n_text",
}
"""Types that cannot be built or run here, with the reason."""
