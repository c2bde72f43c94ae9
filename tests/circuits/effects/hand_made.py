"""Models whose effects are known by construction: one in which every effect adds up, and one with two copies of a path."""

from __future__ import annotations

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model, load


class Bare(nn.Module):
    """In the place of a norm: what comes in goes out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.0


def linear_gpt2() -> Model:
    """No norms, uniform attention, MLPs without a bend: the logits are a linear function of every part's output."""
    torch.manual_seed(0)
    return load(_without_norms(_gpt2(layers=3, activation="linear", width=32)))


def either_head() -> tuple[Model, Pairs]:
    """Two heads copy the same thing from the first token, and the MLP takes the first of what they bring and no more.

    Direction 0 of the residual stream says which token was first (±1, at its own position only); head h of layer 0 brings 2
    times the first token's share in its mean to direction 1. The MLP writes min(x, 1) of direction 1 to direction 2, which
    is all that the logits read: with either head alone nothing is lost.
    """
    native = _without_norms(_gpt2(layers=1, activation="relu", width=8, vocabulary=5))
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.zero_()
        _look_at_all_alike(native.transformer.h[0], 8)
        native.transformer.wte.weight[1, 0] = 1.0  # token 1 is what heads look for; tied: its logit reads direction 0
        block = native.transformer.h[0]
        for head in (0, 1):
            block.attn.c_attn.weight[0, 16 + 5 * head] = 1.0  # v: an entry of each head reads direction 0
            block.attn.c_proj.weight[5 * head, 1] = 4.0  # four positions, each looked at alike: 4 · 1/4 · 1 = 1
        block.mlp.c_fc.weight[1, 0] = 1.0
        block.mlp.c_fc.weight[1, 1] = 1.0
        block.mlp.c_fc.bias[1] = -1.0
        block.mlp.c_proj.weight[0, 2] = 1.0
        block.mlp.c_proj.weight[1, 2] = -1.0
        head = nn.Linear(8, 5, bias=False)
        head.weight.zero_()
        head.weight[2, 2] = 1.0  # the answer, token 2
        native.lm_head = head
    native.config.tie_word_embeddings = False
    pairs = [Example(clean=(1, 3, 4, end), corrupt=(3, 3, 4, end), answers=(2,), wrong=(0,)) for end in (3, 4)]
    return load(native.double().eval()), Pairs(tuple(pairs)).align(None)


def backup() -> tuple[Model, Pairs]:
    """Layer 0's MLP writes 1 to direction 2, which the answer's logit reads after a real final norm; layer 1's writes
    max(1 − x, 0) of what it finds there, so nothing as long as the first is at work."""
    native = _gpt2(layers=2, activation="relu", width=8, vocabulary=5)
    norm = native.transformer.ln_f
    _without_norms(native)
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.zero_()
        native.transformer.wte.weight[:, 5] = torch.arange(5.0)
        for (
            block
        ) in native.transformer.h:  # attention moves something that nobody reads, so that it can be seen to be there
            _look_at_all_alike(block, 8)
            block.attn.c_attn.weight[5, 16] = 1.0
            block.attn.c_proj.weight[0, 6] = 0.1
        norm.weight.fill_(1.0)
        native.transformer.ln_f = norm
        first, second = (block.mlp for block in native.transformer.h)
        first.c_fc.bias[0] = 1.0
        first.c_proj.weight[0, 2] = 1.0
        second.c_fc.weight[2, 0] = -1.0
        second.c_fc.bias[0] = 1.0
        second.c_proj.weight[0, 2] = 1.0
        second.c_fc.bias[1] = 1.0  # and something that neither the logits nor the norm's mean see, so that it is found
        second.c_proj.weight[1, 6], second.c_proj.weight[1, 7] = 0.1, -0.1
        head = nn.Linear(8, 5, bias=False)
        head.weight.zero_()
        head.weight[2, 2] = 1.0
        native.lm_head = head
    native.config.tie_word_embeddings = False
    pairs = [Example(clean=(1, 3, 4, end), corrupt=(3, 3, 4, end), answers=(2,), wrong=(0,)) for end in (3, 4)]
    return load(native.double().eval()), Pairs(tuple(pairs)).align(None)


def _gpt2(*, layers: int, activation: str, width: int, vocabulary: int = 60) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=layers, n_head=2, n_positions=32, activation_function=activation,
        initializer_range=0.2, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).double().eval()


def _without_norms(native: GPT2LMHeadModel) -> GPT2LMHeadModel:
    width = native.config.n_embd
    for block in native.transformer.h:
        block.ln_1, block.ln_2 = Bare(), Bare()
        _look_at_all_alike(block, width)
    native.transformer.ln_f = Bare()
    return native


def _look_at_all_alike(block: nn.Module, width: int) -> None:
    """Queries of all kinds, and one key for all positions."""
    with torch.no_grad():
        block.attn.c_attn.weight[:, :width].normal_()
        block.attn.c_attn.weight[:, width : 2 * width] = 0
        block.attn.c_attn.bias[width : 2 * width].normal_()
