"""A plain transformer of our own, small and free of surprises: what known circuits are written into.

    stream = embed(tokens) + positions;   stream += attention(norm(stream));   stream += mlp(norm(stream));   logits = U stream

Any number of layers and heads, with or without MLPs, norms (none unless asked for) and positions, causal or not. It is a
transformers model like any other: it calls the attention interface, so every site is found in it, and it is saved and
loaded as any checkpoint is. Biases are in MLPs only. It keeps no cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}
NORMS: dict[str, Callable[[int], nn.Module]] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


class PlainConfig(PretrainedConfig):
    """Sizes and choices of a `PlainTransformer`. `d_mlp` 0: no MLPs; `max_positions` 0: no positions."""

    model_type = "assay_plain"

    vocab_size: int = 64
    d_model: int = 32
    n_layers: int = 2
    n_heads: int = 4
    d_head: int = 8
    d_mlp: int = 0
    max_positions: int = 32
    norm: str | None = None
    """None, "layer" or "rms"."""
    activation: str = "relu"
    causal: bool = True
    qk_scale: float | None = None
    """What scores are multiplied by; 1 / sqrt(d_head) if not given."""
    initializer_range: float = 0.2
    tie_word_embeddings: bool = False


def eager_attention_forward(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Softmax attention as it is written in papers: [batch, head, pos, d_head] in, [batch, pos, head, d_head] out."""
    scores = torch.matmul(query, key.transpose(2, 3)) * kwargs["scaling"]
    if attention_mask is not None:
        scores = scores + attention_mask
    pattern = nn.functional.softmax(scores, dim=-1)
    return torch.matmul(pattern, value).transpose(1, 2).contiguous(), pattern


class PlainAttention(nn.Module):
    """Heads side by side, without biases."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config, self.is_causal = config, config.causal
        self.scaling = config.d_head**-0.5 if config.qk_scale is None else config.qk_scale
        width = config.n_heads * config.d_head
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(config.d_model, width, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(width, config.d_model, bias=False)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """What attention adds to the stream."""
        shape = (*hidden_states.shape[:-1], -1, self.config.d_head)
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (project(hidden_states).view(shape).transpose(1, 2) for project in projections)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, _ = attend(self, query, key, value, attention_mask, scaling=self.scaling, dropout=0.0)
        out: Tensor = self.o_proj(mixed.reshape(*hidden_states.shape[:-1], -1).contiguous())
        return out


class PlainMlp(nn.Module):
    """One hidden layer, with biases."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.up, self.act = nn.Linear(config.d_model, config.d_mlp), ACTIVATIONS[config.activation]()
        self.down = nn.Linear(config.d_mlp, config.d_model)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """What the MLP adds to the stream."""
        out: Tensor = self.down(self.act(self.up(hidden_states)))
        return out


class PlainBlock(nn.Module):
    """Attention, then the MLP if there is one, each reading the stream through its norm."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.attn_norm, self.attn = _norm(config), PlainAttention(config)
        self.mlp_norm = _norm(config) if config.d_mlp else None
        self.mlp = PlainMlp(config) if config.d_mlp else None

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """The stream after this block."""
        hidden_states = hidden_states + self.attn(_normed(hidden_states, self.attn_norm), attention_mask)
        if self.mlp is not None:
            hidden_states = hidden_states + self.mlp(_normed(hidden_states, self.mlp_norm))
        return hidden_states


def _norm(config: PlainConfig) -> nn.Module | None:
    return NORMS[config.norm](config.d_model) if config.norm else None


def _normed(stream: Tensor, norm: nn.Module | None) -> Tensor:
    """No module at all stands where there is no norm: one that hands on its input would read what the MLP reads."""
    return stream if norm is None else norm(stream)


class PlainTransformer(PreTrainedModel):
    """The whole network; see the module."""

    config_class = PlainConfig
    main_input_name = "input_ids"
    _no_split_modules = ("PlainBlock",)

    def __init__(self, config: PlainConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.max_positions, config.d_model) if config.max_positions else None
        self.layers = nn.ModuleList(PlainBlock(config) for _ in range(config.n_layers))
        self.final_norm = _norm(config)
        self.unembed = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None = None,
        position_ids: Int[Tensor, "batch pos"] | None = None,
    ) -> CausalLMOutput:
        """Logits for every position. `attention_mask` is 0 where a token is padding."""
        stream = self.embed(input_ids)
        if self.positions is not None:
            counted = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
            stream = stream + self.positions(counted if position_ids is None else position_ids)
        mask = self._mask(stream, attention_mask)
        for block in self.layers:
            stream = block(stream, attention_mask=mask)
        return CausalLMOutput(logits=self.unembed(_normed(stream, self.final_norm)))

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        """The unembedding."""
        return self.unembed

    def _mask(self, stream: Tensor, attended: Tensor | None) -> Float[Tensor, "batch 1 query key"]:
        """0 where a query may look, the dtype's least number where not."""
        batch, pos = stream.shape[:2]
        open_ = torch.ones(pos, pos, dtype=torch.bool, device=stream.device)
        seen = (open_.tril() if self.config.causal else open_)[None, None].expand(batch, 1, pos, pos)
        if attended is not None:
            seen = seen & attended.bool()[:, None, None, :]
        return torch.zeros_like(seen, dtype=stream.dtype).masked_fill(~seen, torch.finfo(stream.dtype).min)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=self.config.initializer_range)


AutoConfig.register(PlainConfig.model_type, PlainConfig, exist_ok=True)
AutoModelForCausalLM.register(PlainConfig, PlainTransformer, exist_ok=True)
