"""Tiny random models and contrast pairs of token ids, for tests of methods: seconds, no tokenizer, no weights on disk."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model, load

VOCABULARY = 60


def tiny_llama() -> Model:
    """Three layers, four heads on two key-value heads, RMSNorm; double precision, so that sums can be compared closely."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.2,
    )  # fmt: skip
    return load(LlamaForCausalLM(config).double().eval())


def tiny_gpt2() -> Model:
    """Two layers, four heads, LayerNorm, learned positions, biases everywhere; double precision."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=32, initializer_range=0.2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    native = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return load(native)


def pairs_of_ids(n: int = 5, *, length: int = 7, seed: int = 0) -> Pairs:
    """Prompts of random ids and counterfactuals that differ at position 3 alone (named `subject`)."""
    rng = torch.Generator().manual_seed(seed)
    examples = []
    for i in range(n):
        clean = torch.randint(1, VOCABULARY, (length,), generator=rng).tolist()
        corrupt = list(clean)
        corrupt[3] = (clean[3] + 7) % (VOCABULARY - 1) + 1
        answers, wrong = (clean[1],), ((clean[1] + 5) % (VOCABULARY - 1) + 1,)
        examples.append(
            Example(
                clean=tuple(clean), corrupt=tuple(corrupt), answers=answers, wrong=wrong,
                positions={"subject": 3, "end": -1}, template=f"t{i % 2}", split="train",
            )
        )  # fmt: skip
    return Pairs(tuple(examples)).align(None)
