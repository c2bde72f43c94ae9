"""Site names: how a place inside a network is written down.

    L5.resid_post            layer 5 of the only (or the language) stack
    enc.L0.q  dec.L0.q       encoder-decoders          vision.L3.mlp_out   the image tower of a multimodal model
    resid_post               every layer that has it   logits              a place outside the layers
    native:model.layers.3.mlp:out                      what a native module returns (`in`: what it reads)

Names of TransformerLens (`blocks.5.hook_resid_post`), nnterp (`layers_output[5]`) and interp-engine (`resid_post.5`)
are accepted and normalised; `ALIAS_NOTES` says where their tensor differs from ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType

from assay.core.errors import SiteError, nearest

LAYER_SITES = (
    "resid_pre", "attn_norm_scale", "attn_in", "q", "k", "v", "q_rot", "k_rot", "scores", "pattern", "z", "head_out",
    "attn_out", "resid_mid", "cross_attn_in", "cross_q", "cross_k", "cross_v", "cross_scores", "cross_pattern",
    "cross_z", "cross_head_out", "cross_attn_out", "resid_mid_cross", "ssm_in", "ssm_state", "ssm_out",
    "mlp_norm_scale", "mlp_in", "router", "expert_weights", "mlp_pre", "mlp_up", "mlp_post", "mlp_out", "resid_post",
)  # fmt: skip
"""Names of sites inside a layer, in the order in which a pre-norm decoder block computes them."""

MODEL_SITES = ("embed", "pos_embed", "final_norm_scale", "final_norm", "logits")
"""Names of sites outside the layers."""

STACKS = ("enc", "dec", "vision")

_TL_LAYER = MappingProxyType(
    {
        "hook_resid_pre": "resid_pre", "hook_resid_mid": "resid_mid", "hook_resid_post": "resid_post",
        "hook_attn_out": "attn_out", "hook_mlp_out": "mlp_out", "ln1.hook_normalized": "attn_in",
        "ln2.hook_normalized": "mlp_in", "ln1.hook_scale": "attn_norm_scale", "ln2.hook_scale": "mlp_norm_scale",
        "attn.hook_q": "q", "attn.hook_k": "k", "attn.hook_v": "v", "attn.hook_rot_q": "q_rot",
        "attn.hook_rot_k": "k_rot", "attn.hook_attn_scores": "scores", "attn.hook_pattern": "pattern",
        "attn.hook_z": "z", "attn.hook_result": "head_out", "mlp.hook_pre": "mlp_pre",
        "mlp.hook_pre_linear": "mlp_up", "mlp.hook_post": "mlp_post", "hook_in": "resid_pre", "hook_out": "resid_post",
        "hook_cross_attn_out": "cross_attn_out", "hook_resid_mid_cross": "resid_mid_cross",
        "attn.hook_out": "attn_out", "mlp.hook_out": "mlp_out", "attn.hook_in": "attn_in", "mlp.hook_in": "mlp_in",
        "ln1.hook_out": "attn_in", "ln2.hook_out": "mlp_in", "ln1_post.hook_out": "attn_out",
        "ln2_post.hook_out": "mlp_out",
    }
)  # fmt: skip
_CROSS = {name: f"cross_{name}" for name in ("q", "k", "v", "scores", "pattern", "z", "head_out")}
_TL_DECODER = MappingProxyType(
    {
        **{n: ours for n, ours in _TL_LAYER.items() if not n.startswith("ln2")},
        **{f"cross_{n}": _CROSS[ours] for n, ours in _TL_LAYER.items() if ours in _CROSS},
        "ln2.hook_normalized": "cross_attn_in", "ln2.hook_out": "cross_attn_in", "cross_attn.hook_out": "cross_attn_out",
        "ln3.hook_normalized": "mlp_in", "ln3.hook_out": "mlp_in", "ln3.hook_scale": "mlp_norm_scale",
    }
)  # fmt: skip
"""In a decoder that attends to an encoder the second norm is that of cross-attention, and the third the MLP's."""
_TL_MODEL = MappingProxyType(
    {
        "hook_embed": "embed", "embed.hook_out": "embed", "hook_pos_embed": "pos_embed",
        "pos_embed.hook_out": "pos_embed",
        "ln_final.hook_normalized": "final_norm", "ln_final.hook_out": "final_norm",
        "ln_final.hook_scale": "final_norm_scale", "unembed.hook_out": "logits",
    }
)  # fmt: skip
_NNTERP_LAYER = MappingProxyType(
    {
        "layers_input": "resid_pre", "layers_output": "resid_post", "attentions_output": "attn_out",
        "mlps_output": "mlp_out", "attentions_input": "attn_in", "mlps_input": "mlp_in",
        "attention_probabilities": "pattern",
    }
)  # fmt: skip
_NNTERP_MODEL = MappingProxyType({"token_embeddings": "embed", "ln_final": "final_norm", "lm_head": "logits"})

ALIAS_NOTES = MappingProxyType(
    {
        "blocks.L.hook_resid_post": "in a post-norm block (BERT) TransformerLens means the sum before the last norm; "
        "resid_post is what the block hands on, after it",
        "blocks.L.ln1.hook_normalized": "TransformerLens means the value before the norm's weight and bias; "
        "attn_in is what attention reads, as its ln1.hook_out. In a post-norm block its ln1 is the norm after attention; "
        "attn_in is the block's input there",
        "blocks.L.hook_attn_out": "where a norm follows attention, attn_out is what is really added to "
        "the residual stream",
        "blocks.L.attn.hook_k": "k and v have one entry for each key/value head, never repeated for query heads",
        "blocks.L.attn.hook_out": "the TransformerLens bridge also uses this name for hook_resid_mid; here it "
        "is attn_out",
        "attentions_output[L]": "nnterp means the attention module's output; attn_out includes a norm or "
        "multiplier after it",
    }
)
"""Where another library's name means a tensor that differs from ours."""

_OURS = re.compile(r"^(?:(enc|dec|vision)\.)?(?:L(-?\d+)\.)?([a-z][a-z_]*)$")
_NATIVE = re.compile(r"^native:(.+):(in|out)$")
_TL = re.compile(r"^(?:(encoder|decoder)_)?blocks\.(\d+)\.(.+)$|^(encoder|decoder)\.(\d+)\.(.+)$")
_NNTERP = re.compile(r"^([a-z_]+)\[(-?\d+)\]$")
_INTERP_ENGINE = re.compile(r"^([a-z_]+)\.(\d+)$")


@dataclass(frozen=True, order=True)
class SiteName:
    """A parsed site name. `layer` is None for a site outside the layers, or for "every layer"."""

    name: str
    layer: int | None = None
    stack: str | None = None
    native: str | None = None

    def __hash__(self) -> int:
        return self.hashed

    @cached_property
    def hashed(self) -> int:
        """Names are keys of nearly every table that a pass fills."""
        return hash((self.name, self.layer, self.stack, self.native))

    def __reduce__(self) -> tuple[type[SiteName], tuple[str, int | None, str | None, str | None]]:
        return SiteName, (self.name, self.layer, self.stack, self.native)  # another process hashes strings otherwise

    @classmethod
    def parse(cls, text: str | SiteName) -> SiteName:
        """Parse our own grammar or an alias of another library. Raises SiteError naming the nearest known names."""
        return text if isinstance(text, SiteName) else _parse(text)

    @property
    def in_layers(self) -> bool:
        """True for a name that belongs to a layer, whether or not the layer is given."""
        return self.native is None and self.name in LAYER_SITES

    def at(self, layer: int | None) -> SiteName:
        """The same site in another layer."""
        return replace(self, layer=layer)

    def __str__(self) -> str:
        return self.text

    @cached_property
    def text(self) -> str:
        """The name as it is written."""
        if self.native is not None:
            return f"native:{self.native}:{self.name}"
        stack = f"{self.stack}." if self.stack else ""
        layer = f"L{self.layer}." if self.layer is not None else ""
        return f"{stack}{layer}{self.name}"


@lru_cache(maxsize=65536)
def _parse(text: str) -> SiteName:
    if match := _NATIVE.fullmatch(text):
        return SiteName(match[2], native=match[1])
    if match := _OURS.fullmatch(text):
        return _ours(text, *match.groups())
    if (alias := _alias(text)) is not None:
        return alias
    raise SiteError(
        f"{text!r} is not a site name: expected L<layer>.<name>, <name>, enc./dec./vision. before it, or "
        f"native:<module path>:<in|out>.{nearest(text.rsplit('.', 1)[-1], LAYER_SITES + MODEL_SITES)}"
    )


def _ours(text: str, stack: str | None, layer: str | None, name: str) -> SiteName:
    if name in _NNTERP_MODEL:
        name = _NNTERP_MODEL[name]
    name = _TL_MODEL.get(name, _TL_LAYER.get(name, name))
    if name in MODEL_SITES and layer is None:
        return SiteName(name, stack=stack)
    if name in LAYER_SITES:
        return SiteName(name, layer=None if layer is None else int(layer), stack=stack)
    known = LAYER_SITES if layer is not None else LAYER_SITES + MODEL_SITES
    wrong = (
        f"{name!r} lies outside the layers, so it takes no layer"
        if name in MODEL_SITES
        else f"no site is called {name!r}"
    )
    raise SiteError(f"{text!r} is not a site name: {wrong}.{nearest(name, known)}")


def _alias(text: str) -> SiteName | None:
    if text in _TL_MODEL:
        return SiteName(_TL_MODEL[text])
    if text in _TL_LAYER:
        return SiteName(_TL_LAYER[text])
    if match := _TL.fullmatch(text):
        side = match[1] or match[4]
        name = (_TL_DECODER if side == "decoder" else _TL_LAYER).get(match[3] or match[6])
        if name is None:
            return None
        return SiteName(name, int(match[2] or match[5]), stack=side[:3] if side else None)
    if (match := _NNTERP.fullmatch(text)) and match[1] in _NNTERP_LAYER:
        return SiteName(_NNTERP_LAYER[match[1]], int(match[2]))
    if (match := _INTERP_ENGINE.fullmatch(text)) and match[1] in LAYER_SITES:
        return SiteName(match[1], int(match[2]))
    return None
