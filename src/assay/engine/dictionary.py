"""A feature dictionary as an edit uses it: encode, change chosen features, decode, keep what the dictionary misses.

A folder with `dictionary.json` (`{"activation": "relu" | "jumprelu" | "topk", "k": …}`) and `dictionary.safetensors`
(`encoder` [d, feature], `encoder_bias`, `decoder` [feature, d], `decoder_bias`, and `threshold` for jumprelu).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from assay.core.errors import InputError, StorageError

ACTIVATIONS = ("relu", "jumprelu", "topk")


@dataclass(frozen=True)
class FeatureBasis:
    """An encoder and a decoder with their biases."""

    encoder: Float[Tensor, "d feature"]
    encoder_bias: Float[Tensor, " feature"]
    decoder: Float[Tensor, "feature d"]
    decoder_bias: Float[Tensor, " d"]
    activation: str
    threshold: Float[Tensor, " feature"] | None = None
    k: int | None = None

    def encode(self, x: Float[Tensor, "*any d"]) -> Float[Tensor, "*any feature"]:
        """Feature activations."""
        pre = (x - self.decoder_bias.to(x)) @ self.encoder.to(x) + self.encoder_bias.to(x)
        if self.activation == "jumprelu" and self.threshold is not None:
            return pre * (pre > self.threshold.to(x))
        if self.activation == "topk" and self.k is not None:
            top = pre.topk(self.k, dim=-1)
            return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
        return pre.relu()

    def decode(self, features: Float[Tensor, "*any feature"]) -> Float[Tensor, "*any d"]:
        """What the features stand for."""
        return features @ self.decoder.to(features) + self.decoder_bias.to(features)

    def edit(
        self,
        x: Float[Tensor, "*any d"],
        values: Mapping[int, float],
        *,
        scale: float | None = None,
        relative: bool = False,
        keep_error: bool = True,
    ) -> Float[Tensor, "*any d"]:
        """`x` with chosen features at new activations."""
        self._check(values)
        features = self.encode(x)
        index = torch.tensor(list(values))
        factors = torch.tensor(list(values.values()), dtype=x.dtype) * (1.0 if scale is None else scale)
        new = features.clone()
        new[..., index] = features[..., index] * factors if relative else factors.expand_as(features[..., index])
        if not keep_error:
            return self.decode(new)
        return x + (new - features)[..., index] @ self.decoder.to(x)[index]

    def swap(
        self, x: Float[Tensor, "*any d"], source: Float[Tensor, "*any d"], features: Sequence[int]
    ) -> Float[Tensor, "*any d"]:
        """`x` with the activations that chosen features have at `source`; what the dictionary misses of `x` stays."""
        self._check(features)
        index = torch.tensor(list(features))
        change = (self.encode(source) - self.encode(x))[..., index]
        return x + change @ self.decoder.to(x)[index]

    def _check(self, features: Iterable[int]) -> None:
        outside = [f for f in features if not 0 <= f < self.decoder.shape[0]]
        if outside:
            raise InputError(
                f"feature {outside[0]} is out of range: this dictionary has features 0-{self.decoder.shape[0] - 1}."
            )


@lru_cache(maxsize=8)
def read_dictionary(folder: str) -> FeatureBasis:
    """Read a dictionary from its folder. Raises StorageError when a file is missing or damaged."""
    path = Path(folder)
    try:
        settings = json.loads((path / "dictionary.json").read_text())
        tensors = load_file(path / "dictionary.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise StorageError(
            f"no dictionary can be read from {folder!r}: {error}. Expected dictionary.json and dictionary.safetensors."
        ) from None
    activation = settings.get("activation")
    if activation not in ACTIVATIONS:
        raise StorageError(
            f"{folder}: activation {activation!r} is not known: expected one of {', '.join(ACTIVATIONS)}."
        )
    needed = ("encoder", "encoder_bias", "decoder", "decoder_bias")
    missing = [n for n in needed if n not in tensors]
    if missing:
        raise StorageError(f"{folder}: dictionary.safetensors lacks {', '.join(missing)}.")
    encoder, encoder_bias, decoder, decoder_bias = (tensors[n] for n in needed)
    threshold, k = tensors.get("threshold"), settings.get("k")
    return FeatureBasis(encoder, encoder_bias, decoder, decoder_bias, activation, threshold, k)
