"""Edges between whole mixers cut by hand: Mamba's scan and DeepSeek's latent attention written out in plain torch.

Nothing of assay is used. As in `reference.py` an input is the sum of what each sender wrote, here or in the other run, as the
mask says; but a layer's mixer reads and writes as one part. One example at a time, straight from the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tests.engine.edges.reference import rms
from torch import Tensor, nn
from torch.nn import functional as F

Reads = Callable[[str, str], bool]


@dataclass
class WholeByHand:
    """One architecture's pieces. Every function maps [pos, …] of one example; norms are part of them."""

    native: Any
    weights: Mapping[str, Tensor]
    config: Any
    has_mlp = True

    def embed(self, ids: Tensor) -> Tensor:
        raise NotImplementedError

    def mixer(self, layer: int, x: Tensor) -> Tensor:
        raise NotImplementedError

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def run(
        self, ids: Tensor, reads: Reads, other: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what every sender wrote. `other` is what they wrote in the other run."""
        wrote = {"embed": self.embed(ids)}

        def input_of(receiver: str) -> Tensor:
            parts = (wrote[s] if other is None or reads(s, receiver) else other[s] for s in wrote)
            return torch.stack(list(parts)).sum(0)

        for layer in range(self.config.num_hidden_layers):
            wrote[f"L{layer}.attn"] = self.mixer(layer, input_of(f"L{layer}.attn"))
            if self.has_mlp:
                wrote[f"L{layer}.mlp"] = self.mlp(layer, input_of(f"L{layer}.mlp"))
        return self.logits(input_of("logits")), wrote

    def __getitem__(self, name: str) -> Tensor:
        return self.weights[name]


class Mamba(WholeByHand):
    """A selective scan, token by token; no MLPs."""

    has_mlp = False

    def embed(self, ids: Tensor) -> Tensor:
        return self["backbone.embeddings.weight"][ids]

    def mixer(self, layer: int, x: Tensor) -> Tensor:
        name = f"backbone.layers.{layer}"
        x = rms(x, self[f"{name}.norm.weight"], self.config.layer_norm_epsilon)
        name += ".mixer"
        inner, gate = (x @ self[f"{name}.in_proj.weight"].T).chunk(2, -1)
        kernel, width = self[f"{name}.conv1d.weight"][:, 0], self.config.conv_kernel
        before = torch.cat([inner.new_zeros(width - 1, inner.shape[1]), inner])
        inner = torch.stack([(before[t : t + width] * kernel.T).sum(0) for t in range(len(x))])
        inner = F.silu(inner + self[f"{name}.conv1d.bias"])
        rank, states = self.config.time_step_rank, self.config.state_size
        step, enters, leaves = (inner @ self[f"{name}.x_proj.weight"].T).split([rank, states, states], -1)
        step = F.softplus(step @ self[f"{name}.dt_proj.weight"].T + self[f"{name}.dt_proj.bias"])
        decay, state, found = -self[f"{name}.A_log"].exp(), inner.new_zeros(inner.shape[1], states), []
        for t in range(len(x)):
            state = (decay * step[t, :, None]).exp() * state + (step[t] * inner[t])[:, None] * enters[t]
            found.append(state @ leaves[t] + self[f"{name}.D"] * inner[t])
        return (torch.stack(found) * F.silu(gate)) @ self[f"{name}.out_proj.weight"].T

    def logits(self, x: Tensor) -> Tensor:
        return rms(x, self["backbone.norm_f.weight"], self.config.layer_norm_epsilon) @ self["lm_head.weight"].T


class DeepSeek(WholeByHand):
    """Latent attention: queries, keys and values through narrow projections with norms; some MLPs are of experts."""

    def embed(self, ids: Tensor) -> Tensor:
        return self["model.embed_tokens.weight"][ids]

    def norm(self, name: str, x: Tensor) -> Tensor:
        return rms(x, self[f"{name}.weight"], self.config.rms_norm_eps)

    def mixer(self, layer: int, x: Tensor) -> Tensor:
        name, c = f"model.layers.{layer}.self_attn", self.config
        x = self.norm(f"model.layers.{layer}.input_layernorm", x)
        low = rms(x @ self[f"{name}.q_a_proj.weight"].T, self[f"{name}.q_a_layernorm.weight"], 1e-6)
        q = (low @ self[f"{name}.q_b_proj.weight"].T).unflatten(-1, (c.num_attention_heads, -1)).transpose(0, 1)
        low, turned = (x @ self[f"{name}.kv_a_proj_with_mqa.weight"].T).split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
        low = rms(low, self[f"{name}.kv_a_layernorm.weight"], 1e-6)
        both = (low @ self[f"{name}.kv_b_proj.weight"].T).unflatten(-1, (c.num_attention_heads, -1)).transpose(0, 1)
        k, v = both.split([c.qk_nope_head_dim, c.v_head_dim], -1)
        plain, own = q.split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
        q = torch.cat([plain, self.turn(own)], -1)
        k = torch.cat([k, self.turn(turned).expand(len(k), -1, -1)], -1)
        scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
        later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        z = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
        return z.transpose(0, 1).flatten(1) @ self[f"{name}.o_proj.weight"].T

    def turn(self, x: Tensor) -> Tensor:
        """Rotary positions, neighbouring entries against each other."""
        dims, base = x.shape[-1], self.config.rope_parameters["rope_theta"]
        angles = torch.arange(x.shape[-2])[:, None] * base ** (-torch.arange(0, dims, 2) / dims)[None]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.cat([even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()], -1)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        block = self.native.model.layers[layer]
        out: Tensor = block.mlp(self.norm(f"model.layers.{layer}.post_attention_layernorm", x)[None])[0]
        return out  # native experts: what is tested is who reads what

    def logits(self, x: Tensor) -> Tensor:
        return self.norm("model.norm", x) @ self["lm_head.weight"].T


KINDS: dict[str, type[WholeByHand]] = {"mamba": Mamba, "deepseek_v3": DeepSeek}
"""By architecture: a recurrent mixer, latent attention."""


def by_hand(name: str, native: nn.Module) -> WholeByHand:
    """The hand-written model with the weights of a native one."""
    weights = {n: parameter.detach() for n, parameter in native.named_parameters(remove_duplicate=False)}
    return KINDS[name](native, weights, native.config)
