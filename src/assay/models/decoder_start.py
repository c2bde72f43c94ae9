"""What the decoder of an encoder-decoder reads where only the encoder's tokens are given: its start token, as in generation.

A dict of the model's own inputs is passed on as it is: some models (Bart) then make the decoder's inputs from the encoder's,
others refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from assay.core.errors import InputError
from assay.models.arguments import own_arguments
from assay.models.prompts import Prompts

DECODER_INPUTS = ("decoder_input_ids", "decoder_inputs_embeds", "labels")
"""From any of these a native decoder has what it reads."""


def has_decoder(native: nn.Module) -> bool:
    """Whether the model reads tokens for a decoder beside what its encoder reads."""
    config = getattr(native, "config", None)
    return bool(getattr(config, "is_encoder_decoder", False)) and "decoder_input_ids" in own_arguments(native)


def started(prompts: Prompts, native: nn.Module) -> Prompts:
    """An encoder's prompts with the token that the decoder starts from, if the model names one; any others as they are."""
    token = start_token(native) if prompts.tensors is None and has_decoder(native) else None
    if token is None:
        return prompts
    fact = f"the decoder read its start token {token} alone: for more, give decoder_input_ids in a dict of inputs"
    return replace(prompts, decoder_start=token, facts=(*prompts.facts, fact))


def start_token(native: nn.Module) -> int | None:
    """As transformers' generation finds it: the decoder's start token, or else the beginning-of-text token."""
    for name in ("decoder_start_token_id", "bos_token_id"):
        for config in (getattr(native, "generation_config", None), getattr(native, "config", None)):
            found: Any = getattr(config, name, None)
            if isinstance(found, int):
                return found
    return None


@contextmanager
def told_without_decoder_inputs(native: nn.Module, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Native code that refuses inputs without any for its decoder is told in one line, as an InputError."""
    try:
        yield
    except ValueError as error:
        if not has_decoder(native) or any(name in inputs for name in DECODER_INPUTS):
            raise
        token = start_token(native)
        start = "" if token is None else f", [[{token}]] for each example to start as in generation"
        raise InputError(
            f"{type(native).__name__} has a decoder, and the inputs {', '.join(sorted(inputs))} hold nothing for it: add "
            f"'decoder_input_ids' to the dict{start}."
        ) from error
