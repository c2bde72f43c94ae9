"""A few tokens, or a small image, that make any transformers model run: what structure is found on.

Four sequences of six distinct tokens: enough rows to tell columns of a projection apart by their values alone.
"""

from __future__ import annotations

import math
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from assay.models.codebooks import codebooks
from assay.models.offloaded import input_device

BATCH, POS = 4, 6


def example_inputs(native: nn.Module) -> list[dict[str, Any]]:
    """Inputs for one forward pass, the fullest first; empty for a module whose inputs are not known."""
    config = getattr(native, "config", None)
    name = getattr(native, "main_input_name", None)
    if config is None or name is None:
        return []
    device = input_device(native)
    vision = getattr(config, "vision_config", None)
    if name == "pixel_values" and not hasattr(config, "text_config"):
        return [{"pixel_values": _image(config, native, device)}]
    if not _vocabulary(config):
        return []
    text: dict[str, Any] = {"input_ids": _tokens(config, device, rows=codebooks(native))}
    if getattr(config, "is_encoder_decoder", False):
        text["decoder_input_ids"] = _tokens(config, device, seed=1)
    if "use_cache" in signature(native.forward).parameters:
        text["use_cache"] = False
    if not _sees(vision):
        return [text]
    return [_with_image(text, config, vision, native, device), text]


def _sees(vision: Any) -> bool:
    """Whether pixels for this image tower can be made from its sizes alone."""
    return isinstance(getattr(vision, "image_size", None), int) and bool(getattr(vision, "patch_size", None))


def _with_image(
    text: dict[str, Any], config: Any, vision: Any, native: nn.Module, device: torch.device
) -> dict[str, Any]:
    inputs = {**text, "pixel_values": _image(vision, native, device)}
    _mark_image(inputs, config, vision)
    return inputs


def _vocabulary(config: Any) -> int:
    """Token ids that every text part knows, 0 where no part names a number."""
    parts = [getattr(config, name, None) for name in ("text_config", "encoder", "decoder")]
    sizes = [getattr(part, "vocab_size", None) for part in (*parts, config)]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=0)


def _tokens(config: Any, device: torch.device, *, seed: int = 0, rows: int = 1) -> Tensor:
    """[batch, pos], or [batch, rows, pos] where an example is several rows."""
    text, size = getattr(config, "text_config", None) or config, _vocabulary(config)
    generator = torch.Generator().manual_seed(seed)
    special = {getattr(text, f"{n}_token_id", None) for n in ("pad", "bos", "eos", "mask", "image")}
    special |= {getattr(config, n, None) for n in ("image_token_id", "image_token_index", "video_token_id")}
    usable = [i for i in torch.randperm(min(size, 50_000), generator=generator).tolist() if i not in special]
    shape = (BATCH, POS) if rows == 1 else (BATCH, rows, POS)
    while len(usable) < math.prod(shape):
        usable = usable + usable
    return torch.tensor(usable[: math.prod(shape)], device=device).reshape(shape)


def _image(config: Any, native: nn.Module, device: torch.device) -> Tensor:
    size = getattr(config, "image_size", 224)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(BATCH, getattr(config, "num_channels", 3), height, width, generator=generator)
    return pixels.to(device=device, dtype=next(native.parameters()).dtype)


def _mark_image(inputs: dict[str, Any], config: Any, vision: Any) -> None:
    """Put the image's placeholder tokens before the text, as many as the tower makes patches."""
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if token is None:
        return
    patches = (vision.image_size // vision.patch_size) ** 2
    if getattr(config, "vision_feature_select_strategy", "default") == "full":
        patches += 1
    ids = inputs["input_ids"]
    inputs["input_ids"] = torch.cat([ids.new_full((len(ids), patches), token), ids], dim=1)
