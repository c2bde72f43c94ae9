"""A tiny Gemma 2: norms before and after attention and MLP, grouped queries, capped scores; double precision."""

from __future__ import annotations

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from assay.engine.model import Model, load


def tiny_gemma2() -> Model:
    """Two layers, four heads on two key-value heads."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=32, initializer_range=0.2, query_pre_attn_scalar=8,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    native = Gemma2ForCausalLM(config).double().eval()
    with torch.no_grad():
        for name, parameter in native.named_parameters():
            if "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return load(native)
