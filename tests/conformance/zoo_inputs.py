"""Inputs of one forward pass for every model in the zoo: random ordinary tokens, pixels, features."""

from __future__ import annotations

import inspect
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
    maker = SPECIAL.get(name, by_signature)
    return maker(model, torch.Generator().manual_seed(seed))


def token_ids(generator: torch.Generator, rows: int = BATCH, positions: int = POSITIONS) -> Tensor:
    return torch.randint(FIRST_ORDINARY_ID, VOCABULARY, (rows, positions), generator=generator)


def by_signature(model: nn.Module, generator: torch.Generator) -> Inputs:
    """Tokens, decoder tokens and pixels, whichever the forward method reads; a causal model only gets tokens."""
    read = inspect.signature(model.forward).parameters
    if "input_ids" in read and "decoder_input_ids" in read:
        return {"input_ids": token_ids(generator), "decoder_input_ids": token_ids(generator, positions=5)}
    if "input_ids" not in read:
        return {"pixel_values": pixels(generator)}
    compares_texts_with_images = hasattr(model, "logit_scale") and "pixel_values" in read
    return tokens(generator) | ({"pixel_values": pixels(generator)} if compares_texts_with_images else {})


def image_and_tokens(image_tokens: int, *, images: int | None = None) -> Maker:
    """Every row starts with one image, in as many tokens as the model turns it into."""

    def make(model: nn.Module, generator: torch.Generator) -> Inputs:
        pictures = pixels(generator)
        return {
            "input_ids": _behind_image(token_ids(generator), model, image_tokens),
            "pixel_values": pictures if images is None else pictures[:, None].expand(-1, images, -1, -1, -1),
        }

    return make


def patches_and_tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    """Qwen's image format: flat patches, and how many there are in time, height and width; four become one token."""
    numbers_per_patch = 3 * 2 * 8 * 8
    ids = _behind_image(token_ids(generator), model, 4)
    return {
        "input_ids": ids,
        "mm_token_type_ids": (ids == model.config.image_token_id).int(),
        "pixel_values": torch.randn(BATCH * 16, numbers_per_patch, generator=generator),
        "image_grid_thw": torch.tensor([[1, 4, 4]] * BATCH),
    }


def _behind_image(ids: Tensor, model: nn.Module, image_tokens: int) -> Tensor:
    return torch.cat([torch.full((BATCH, image_tokens), model.config.image_token_id), ids], dim=1)


def sound(model: nn.Module, generator: torch.Generator) -> Inputs:
    """Mel features, two frames per encoder position, and decoder tokens."""
    frames = 2 * model.config.max_source_positions
    features = torch.randn(BATCH, model.config.num_mel_bins, frames, generator=generator)
    return {"input_features": features, "decoder_input_ids": token_ids(generator)}


def tokens(generator: torch.Generator) -> Inputs:
    return {"input_ids": token_ids(generator)}


def pixels(generator: torch.Generator, side: int = 16) -> Tensor:
    return torch.randn(BATCH, 3, side, side, generator=generator)


def uncached_tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    """For classes whose cache cannot be built from their own configuration."""
    return {"input_ids": token_ids(generator), "use_cache": False}


def codebook_tokens(model: nn.Module, generator: torch.Generator) -> Inputs:
    """Music models read one row of tokens per codebook and example."""
    rows = token_ids(generator, rows=BATCH * model.config.num_codebooks)
    return {"input_ids": rows.reshape(BATCH, model.config.num_codebooks, POSITIONS)}


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
    "WhisperForConditionalGeneration": sound,
    "Gemma3ForConditionalGeneration": image_and_tokens(4),
    "Idefics3ForConditionalGeneration": image_and_tokens(1, images=1),
    "InternVLForConditionalGeneration": image_and_tokens(1),
    "LlavaForConditionalGeneration": image_and_tokens(4),
    "PaliGemmaForConditionalGeneration": image_and_tokens(4),
    "Qwen2VLForConditionalGeneration": patches_and_tokens,
    "Qwen2_5_VLForConditionalGeneration": patches_and_tokens,
    "Qwen3VLForConditionalGeneration": patches_and_tokens,
    "gemma4_assistant": drafter_states,
    "gemma4_unified_assistant": drafter_states,
}
