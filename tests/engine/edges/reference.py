"""Edges cut by hand: small transformers written out in plain torch, in which every receiver has an input of its own.

Nothing of assay is used. An input is the sum of what each sender wrote, here or in the other run, as the mask says; there
is no stream to add a difference to. One example at a time, one head at a time, straight from the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Reads = Callable[[str, str], bool]
"""Whether a receiver reads what a sender writes here (True) or in the other run."""


@dataclass
class ByHand:
    """One architecture's pieces. Every function maps [pos, …] of one example."""

    weights: Mapping[str, Tensor]
    layers: int
    heads: int
    kv_heads: int
    width: int
    parallel: bool = False

    def embed(self, ids: Tensor) -> Tensor:
        raise NotImplementedError

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        """Query, key or value of one (query or shared) head from the stream, norm included."""
        raise NotImplementedError

    def turn(self, x: Tensor) -> Tensor:
        """Rotary positions."""
        return x

    def scores(self, layer: int, scores: Tensor) -> Tensor:
        pos = len(scores)
        return scores.masked_fill(torch.ones(pos, pos, dtype=torch.bool).triu(1), -torch.inf)

    def scale(self) -> float:
        return self.width**-0.5

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        raise NotImplementedError

    def bias(self, layer: int) -> Tensor:
        """What attention adds besides its heads."""
        return torch.zeros(())

    def attention_added(self, layer: int, summed: Tensor) -> Tensor:
        """What reaches the stream of the heads' sum: a norm in between, perhaps."""
        return summed + self.bias(layer)

    def behind(self, layer: int, stream: Tensor) -> Tensor:
        """What a block makes of the stream at its end."""
        return stream

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def run(
        self, ids: Tensor, reads: Reads, other: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what every sender wrote. `other` is what they wrote in the other run."""
        wrote: dict[str, Tensor] = {"embed": self.embed(ids)}

        def chosen(sender: str, receiver: str) -> Tensor:
            return wrote[sender] if other is None or reads(sender, receiver) else other[sender]

        def input_of(receiver: str, layer: int, *, mlp: bool = False) -> Tensor:
            total = chosen("embed", receiver)
            for before in range(layer + (1 if mlp and not self.parallel else 0)):
                heads = sum(chosen(f"L{before}.H{h}", receiver) for h in range(self.heads))
                total = total + self.attention_added(before, heads)
                if before < layer:
                    total = self.behind(before, total + chosen(f"L{before}.mlp", receiver))
            return total

        for layer in range(self.layers):
            attention = {f"L{layer}.H{h}": self.head(layer, h, input_of) for h in range(self.heads)}
            if self.parallel:
                mlp = self.mlp(layer, input_of(f"L{layer}.mlp", layer, mlp=True))
                wrote |= attention
            else:
                wrote |= attention
                mlp = self.mlp(layer, input_of(f"L{layer}.mlp", layer, mlp=True))
            wrote[f"L{layer}.mlp"] = mlp
        return self.logits(input_of("logits", self.layers)), wrote

    grouped: bool = False

    def head(self, layer: int, head: int, input_of: Callable[[str, int], Tensor]) -> Tensor:
        shared = head // (self.heads // self.kv_heads)
        one_for_all = self.grouped and self.kv_heads < self.heads
        owner = f"L{layer}.KV{shared}" if one_for_all else f"L{layer}.H{head}"
        q = self.turn(self.project(layer, "q", head, input_of(f"L{layer}.H{head}.q", layer)))
        k = self.turn(self.project(layer, "k", shared, input_of(f"{owner}.k", layer)))
        v = self.project(layer, "v", shared, input_of(f"{owner}.v", layer))
        pattern = self.scores(layer, q @ k.T * self.scale()).softmax(-1)
        return self.out(layer, head, pattern @ v)

    def __getitem__(self, name: str) -> Tensor:
        return self.weights[name]


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def rotated(x: Tensor, dims: int, base: float) -> Tensor:
    """The first `dims` entries turned, halves against each other."""
    angles = torch.arange(len(x))[:, None] * base ** (-torch.arange(0, dims, 2) / dims)[None]
    cos, sin = angles.cos(), angles.sin()
    left, right, rest = x[:, : dims // 2], x[:, dims // 2 : dims], x[:, dims:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin, rest], -1)


class Llama(ByHand):
    """RMSNorm, rotary, gated MLP; keys and values shared by groups of heads."""

    eps, base, plus = 1e-5, 10_000.0, 0.0

    def embed(self, ids: Tensor) -> Tensor:
        return self["model.embed_tokens.weight"][ids]

    def norm(self, name: str, x: Tensor) -> Tensor:
        return rms(x, self.plus + self[f"{name}.weight"], self.eps)

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        weight = self[f"model.layers.{layer}.self_attn.{slot}_proj.weight"].unflatten(0, (-1, self.width))[head]
        return self.norm(f"model.layers.{layer}.input_layernorm", x) @ weight.T

    def turn(self, x: Tensor) -> Tensor:
        return rotated(x, self.width, self.base)

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        return z @ self[f"model.layers.{layer}.self_attn.o_proj.weight"].unflatten(1, (-1, self.width))[:, head].T

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        x = self.norm(f"model.layers.{layer}.post_attention_layernorm", x)
        gate, up, down = (self[f"model.layers.{layer}.mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
        return (F.silu(x @ gate.T) * (x @ up.T)) @ down.T

    def logits(self, x: Tensor) -> Tensor:
        return self.norm("model.norm", x) @ self["lm_head.weight"].T


class Mixtral(Llama):
    """Two of several experts for each token, their weights normalised among them."""

    base = 1e6

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        name = f"model.layers.{layer}.mlp"
        x = self.norm(f"model.layers.{layer}.post_attention_layernorm", x)
        weight, chosen = (x @ self[f"{name}.gate.weight"].T).softmax(-1).topk(2, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        found = []
        for token, experts, shares in zip(x, chosen, weight, strict=True):
            outs = []
            for expert, share in zip(experts, shares, strict=True):
                gate, up = (self[f"{name}.experts.gate_up_proj"][expert] @ token).chunk(2)
                outs.append(share * (self[f"{name}.experts.down_proj"][expert] @ (F.silu(gate) * up)))
            found.append(outs[0] + outs[1])
        return torch.stack(found)


class Gemma2(Llama):
    """Norms after attention and MLP too, soft caps on scores and logits, a sliding window in every other layer."""

    eps, plus, window = 1e-6, 1.0, 4

    def embed(self, ids: Tensor) -> Tensor:
        weight = self["model.embed_tokens.weight"]
        return weight[ids] * torch.tensor(weight.shape[1] ** 0.5, dtype=weight.dtype)

    def scale(self) -> float:
        return 256**-0.5

    def scores(self, layer: int, scores: Tensor) -> Tensor:
        scores = super().scores(layer, torch.tanh(scores / 50.0) * 50.0)
        far = torch.ones(len(scores), len(scores), dtype=torch.bool).tril(-self.window)
        return scores.masked_fill(far, -torch.inf) if layer % 2 == 0 else scores

    def attention_added(self, layer: int, summed: Tensor) -> Tensor:
        return self.norm(f"model.layers.{layer}.post_attention_layernorm", summed)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        name = f"model.layers.{layer}"
        x = self.norm(f"{name}.pre_feedforward_layernorm", x)
        gate, up, down = (self[f"{name}.mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
        out = (F.gelu(x @ gate.T, approximate="tanh") * (x @ up.T)) @ down.T
        return self.norm(f"{name}.post_feedforward_layernorm", out)

    def logits(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm("model.norm", x) @ self["model.embed_tokens.weight"].T / 30.0) * 30.0


class NeoX(ByHand):
    """Attention and MLP side by side; query, key and value of a head lie together in one weight."""

    turned = 2

    def embed(self, ids: Tensor) -> Tensor:
        return self["gpt_neox.embed_in.weight"][ids]

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], 1e-5)

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        x, at = self.norm(f"gpt_neox.layers.{layer}.input_layernorm", x), "qkv".index(slot)
        name = f"gpt_neox.layers.{layer}.attention.query_key_value"
        weight, bias = (
            self[f"{name}.{n}"].unflatten(0, (self.heads, 3, self.width))[head, at] for n in ("weight", "bias")
        )
        return x @ weight.T + bias

    def turn(self, x: Tensor) -> Tensor:
        return rotated(x, self.turned, 10_000.0)

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        weight = self[f"gpt_neox.layers.{layer}.attention.dense.weight"]
        return z @ weight.unflatten(1, (self.heads, self.width))[:, head].T

    def bias(self, layer: int) -> Tensor:
        return self[f"gpt_neox.layers.{layer}.attention.dense.bias"]

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        name = f"gpt_neox.layers.{layer}"
        x = self.norm(f"{name}.post_attention_layernorm", x)
        inner = F.gelu(F.linear(x, self[f"{name}.mlp.dense_h_to_4h.weight"], self[f"{name}.mlp.dense_h_to_4h.bias"]))
        return F.linear(inner, self[f"{name}.mlp.dense_4h_to_h.weight"], self[f"{name}.mlp.dense_4h_to_h.bias"])

    def logits(self, x: Tensor) -> Tensor:
        return self.norm("gpt_neox.final_layer_norm", x) @ self["lm_head.weight"].T


class Gpt2(ByHand):
    """LayerNorm, learned positions, biases everywhere, weights stored as [in, out]."""

    def embed(self, ids: Tensor) -> Tensor:
        return self["transformer.wte.weight"][ids] + self["transformer.wpe.weight"][: len(ids)]

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], 1e-5)

    def project(self, layer: int, slot: str, head: int, x: Tensor) -> Tensor:
        at, name = "qkv".index(slot), f"transformer.h.{layer}.attn.c_attn"
        weight = self[f"{name}.weight"].unflatten(1, (3, self.heads, self.width))[:, at, head]
        bias = self[f"{name}.bias"].unflatten(0, (3, self.heads, self.width))[at, head]
        return self.norm(f"transformer.h.{layer}.ln_1", x) @ weight + bias

    def out(self, layer: int, head: int, z: Tensor) -> Tensor:
        return z @ self[f"transformer.h.{layer}.attn.c_proj.weight"].unflatten(0, (self.heads, self.width))[head]

    def bias(self, layer: int) -> Tensor:
        return self[f"transformer.h.{layer}.attn.c_proj.bias"]

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        name = f"transformer.h.{layer}"
        x = self.norm(f"{name}.ln_2", x) @ self[f"{name}.mlp.c_fc.weight"] + self[f"{name}.mlp.c_fc.bias"]
        inner = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return inner @ self[f"{name}.mlp.c_proj.weight"] + self[f"{name}.mlp.c_proj.bias"]

    def logits(self, x: Tensor) -> Tensor:
        return self.norm("transformer.ln_f", x) @ self["transformer.wte.weight"].T


KINDS: dict[str, tuple[type[ByHand], bool]] = {
    "gpt2": (Gpt2, False),
    "gpt_neox": (NeoX, True),
    "llama": (Llama, False),
    "gemma2": (Gemma2, False),
    "mixtral": (Mixtral, False),
}
"""By architecture: sequential, parallel, grouped queries, norms after the branches, mixture of experts."""


def by_hand(name: str, native: nn.Module, *, grouped: bool) -> ByHand:
    """The hand-written model with the weights of a native one."""
    kind, parallel = KINDS[name]
    config: Any = native.config
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    weights = {name: parameter.detach() for name, parameter in native.named_parameters()}
    made = kind(
        weights, config.num_hidden_layers, heads, getattr(config, "num_key_value_heads", heads), width, parallel
    )
    made.grouped = grouped
    if isinstance(made, Llama):
        made.eps = config.rms_norm_eps
    return made
