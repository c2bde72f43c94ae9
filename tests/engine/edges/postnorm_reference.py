"""Post-norm transformers written out in plain torch, in which every receiver goes the stream's whole way for itself.

Nothing of assay is used. A receiver starts at the embedding and takes norm(x + what is written) sum after sum, of each
sender what it wrote here, in the other run, or a mixture. One example at a time, straight from the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tests.engine.edges.reference import ByHand
from torch import Tensor, nn
from torch.nn import functional as F

Share = Callable[[str, str], float]
"""How much of what a receiver reads of a sender is from here; the rest is from the other run."""


class PostNorm(ByHand):
    """A norm after each sum."""

    eps = 1e-12

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], self.eps)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self[f"{name}.weight"], self[f"{name}.bias"])

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        raise NotImplementedError

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        raise NotImplementedError

    def run(
        self, ids: Tensor, reads: Share, other: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wrote: dict[str, Tensor] = {"embed": self.embed(ids)}

        def chosen(sender: str, receiver: str) -> Tensor:
            share = 1.0 if other is None else float(reads(sender, receiver))
            return wrote[sender] if other is None or share == 1 else share * wrote[sender] + (1 - share) * other[sender]

        def input_of(receiver: str, layer: int, *, mlp: bool = False) -> Tensor:
            x = chosen("embed", receiver)
            for before in range(layer + mlp):
                heads = sum(chosen(f"L{before}.H{h}", receiver) for h in range(self.heads))
                x = self.after_attention(before, x + heads + self.bias(before))
                if before < layer:
                    x = self.after_mlp(before, x + chosen(f"L{before}.mlp", receiver))
            return x

        for layer in range(self.layers):
            wrote |= {f"L{layer}.H{h}": self.head(layer, h, input_of) for h in range(self.heads)}
            wrote[f"L{layer}.mlp"] = self.mlp(layer, input_of(f"L{layer}.mlp", layer, mlp=True))
        return self.logits(input_of("logits", self.layers)), wrote


class Bert(PostNorm):
    """As a decoder: embeddings normed too, a transform before the unembedding."""

    def at(self, layer: int) -> str:
        return f"bert.encoder.layer.{layer}"

    def embed(self, ids: Tensor) -> Tensor:
        word, place, kind = (self[f"bert.embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
        return self.layer_norm("bert.embeddings.LayerNorm", word[ids] + place[: len(ids)] + kind[0])

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        name = {"q": "query", "k": "key", "v": "value"}[slot]
        whole = self.linear(f"{self.at(layer)}.attention.self.{name}", x)
        return whole.unflatten(-1, (self.heads, self.width))[:, head]

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        weight = self[f"{self.at(layer)}.attention.output.dense.weight"]
        return z @ weight.unflatten(1, (self.heads, self.width))[:, head].T

    def bias(self, layer: int) -> Tensor:
        return self[f"{self.at(layer)}.attention.output.dense.bias"]

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.attention.output.LayerNorm", x)

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.output.LayerNorm", x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.linear(
            f"{self.at(layer)}.output.dense", F.gelu(self.linear(f"{self.at(layer)}.intermediate.dense", x))
        )

    def logits(self, x: Tensor) -> Tensor:
        x = self.layer_norm(
            "cls.predictions.transform.LayerNorm", F.gelu(self.linear("cls.predictions.transform.dense", x))
        )
        return self.linear("cls.predictions.decoder", x)


class Bart(PostNorm):
    """The decoder alone."""

    eps = 1e-5

    def at(self, layer: int) -> str:
        return f"model.decoder.layers.{layer}"

    def embed(self, ids: Tensor) -> Tensor:
        word, place = (self[f"model.decoder.embed_{n}.weight"] for n in ("tokens", "positions"))
        return self.layer_norm("model.decoder.layernorm_embedding", word[ids] + place[2 : 2 + len(ids)])

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        whole = self.linear(f"{self.at(layer)}.self_attn.{slot}_proj", x)
        return whole.unflatten(-1, (self.heads, self.width))[:, head]

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        weight = self[f"{self.at(layer)}.self_attn.out_proj.weight"]
        return z @ weight.unflatten(1, (self.heads, self.width))[:, head].T

    def bias(self, layer: int) -> Tensor:
        return self[f"{self.at(layer)}.self_attn.out_proj.bias"]

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.self_attn_layer_norm", x)

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.final_layer_norm", x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.linear(f"{self.at(layer)}.fc2", F.gelu(self.linear(f"{self.at(layer)}.fc1", x)))

    def logits(self, x: Tensor) -> Tensor:
        return x @ self["lm_head.weight"].T


class OpenAiGpt(PostNorm):
    """The first GPT: embeddings as they are, weights stored as [in, out], query, key and value in one."""

    eps = 1e-5

    def at(self, layer: int) -> str:
        return f"transformer.h.{layer}"

    def embed(self, ids: Tensor) -> Tensor:
        return self["transformer.tokens_embed.weight"][ids] + self["transformer.positions_embed.weight"][: len(ids)]

    def turned(self, name: str, x: Tensor) -> Tensor:
        return x @ self[f"{name}.weight"] + self[f"{name}.bias"]

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        whole = self.turned(f"{self.at(layer)}.attn.c_attn", x)
        return whole.unflatten(-1, (3, self.heads, self.width))[:, "qkv".index(slot), head]

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        return z @ self[f"{self.at(layer)}.attn.c_proj.weight"].unflatten(0, (self.heads, self.width))[head]

    def bias(self, layer: int) -> Tensor:
        return self[f"{self.at(layer)}.attn.c_proj.bias"]

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.ln_1", x)

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"{self.at(layer)}.ln_2", x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        x = self.turned(f"{self.at(layer)}.mlp.c_fc", x)
        inner = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return self.turned(f"{self.at(layer)}.mlp.c_proj", inner)

    def logits(self, x: Tensor) -> Tensor:
        return x @ self["lm_head.weight"].T


class Xlm(PostNorm):
    """Modules in lists side by side; every token reads every other."""

    def embed(self, ids: Tensor) -> Tensor:
        word, place = self["transformer.embeddings.weight"], self["transformer.position_embeddings.weight"]
        return self.layer_norm("transformer.layer_norm_emb", word[ids] + place[: len(ids)])

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        whole = self.linear(f"transformer.attentions.{layer}.{slot}_lin", x)
        return whole.unflatten(-1, (self.heads, self.width))[:, head]

    def scores(self, layer: int, scores: Tensor) -> Tensor:
        return scores

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        weight = self[f"transformer.attentions.{layer}.out_lin.weight"]
        return z @ weight.unflatten(1, (self.heads, self.width))[:, head].T

    def bias(self, layer: int) -> Tensor:
        return self[f"transformer.attentions.{layer}.out_lin.bias"]

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"transformer.layer_norm1.{layer}", x)

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        return self.layer_norm(f"transformer.layer_norm2.{layer}", x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        at = f"transformer.ffns.{layer}"
        return self.linear(f"{at}.lin2", F.gelu(self.linear(f"{at}.lin1", x)))

    def logits(self, x: Tensor) -> Tensor:
        return self.linear("pred_layer.proj", x)


KINDS: dict[str, type[PostNorm]] = {"bert": Bert, "bart": Bart, "openai-gpt": OpenAiGpt, "xlm": Xlm}


def by_hand(name: str, native: nn.Module) -> PostNorm:
    """The hand-written model with the weights of a native one."""
    config: Any = native.config
    heads = getattr(config, "decoder_attention_heads", None) or config.num_attention_heads
    layers = getattr(config, "decoder_layers", None) or config.num_hidden_layers
    return KINDS[name](native.state_dict(), layers, heads, heads, config.hidden_size // heads)
