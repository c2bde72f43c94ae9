"""Inputs of one forward pass for every model in the zoo: random ordinary tokens, pixels, features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tests.conformance.zoo_sizes import VOCABULARY
from torch import Tensor, nn

BATCH, POSITIONS = 2, 7
FIRST_ORDINARY_ID = 4

Inputs = dict[str, Any]
Maker = Callable[[nn.Module, torch.Generator], Inputs]


def inputs_of(name: str, model: nn.Module, seed: int) -> Inputs:
    """What `model(**inputs)` needs; the same seed gives the same inputs."""
    maker = SPECIAL.get(name, tokens)
    return maker(model, torch.Generator().manual_seed(seed))


def token_ids(generator: torch.Generator, rows: int = BATCH, positions: int = POSITIONS) -> Tensor:
    return torch.randint(FIRST_ORDINARY_ID, VOCABULARY, (rows, positions), generator=generator)


def tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    return {"input_ids": token_ids(generator)}


def uncached_tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    """For classes whose cache cannot be built from their own configuration."""
    return {"input_ids": token_ids(generator), "use_cache": False}


def codebook_tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    """Music models read one row of tokens per codebook and example."""
    return {"input_ids": token_ids(generator, rows=BATCH * model.config.num_codebooks)}


def drafter_states(model: nn.Module, generator: torch.Generator) -> Inputs:
    """A drafter reads one position's embeddings, and the keys and values of each kind, of the model it drafts for."""
    text = model.config.get_text_config()
    embeds = torch.randn(BATCH, 1, 2 * model.config.backbone_hidden_size, generator=generator)
    return {
        "inputs_embeds": embeds,
        "shared_kv_states": {
            kind: _keys_and_values(text, kind, generator) for kind in ("sliding_attention", "full_attention")
        },
    }


def _keys_and_values(text: Any, kind: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    layer = text.per_layer_config[kind]
    shape = (BATCH, layer.num_key_value_heads, POSITIONS, layer.head_dim)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


SPECIAL: dict[str, Maker] = {
    "blt": uncached_tokens,
    "musicgen": codebook_tokens,
    "musicgen_melody": codebook_tokens,
    "gemma4_assistant": drafter_states,
    "gemma4_unified_assistant": drafter_states,
}
