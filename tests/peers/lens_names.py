"""Our sites as TransformerLens' bridge names them, where its tensor differs from ours and how one becomes the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.sites import SiteName

SAME = {
    "resid_pre": "hook_resid_pre", "resid_mid": "hook_resid_mid", "resid_post": "hook_resid_post",
    "attn_norm_scale": "ln1.hook_scale", "mlp_norm_scale": "ln2.hook_scale",
    "attn_in": "ln1.hook_out", "mlp_in": "ln2.hook_out",
    "q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_v", "q_rot": "attn.hook_rot_q", "k_rot": "attn.hook_rot_k",
    "scores": "attn.hook_attn_scores", "pattern": "attn.hook_pattern", "z": "attn.hook_z",
    "head_out": "attn.hook_result", "attn_out": "hook_attn_out",
    "mlp_pre": "mlp.hook_pre", "mlp_up": "mlp.hook_pre_linear", "mlp_post": "mlp.hook_post", "mlp_out": "hook_mlp_out",
}  # fmt: skip
"""Sites inside a layer, and the bridge's hook (after `blocks.<layer>.`) that carries the same tensor."""

SAME_OUTSIDE = {
    "embed": "hook_embed", "pos_embed": "hook_pos_embed", "final_norm_scale": "ln_final.hook_scale",
    "final_norm": "ln_final.hook_out", "logits": "unembed.hook_out",
}  # fmt: skip

NEOX_SEES_NO_ROTATION = "the bridge's joint-qkv attention rotates without a hook between: scores are compared instead"

ABSENT = {("gpt_neox", "q_rot"): NEOX_SEES_NO_ROTATION, ("gpt_neox", "k_rot"): NEOX_SEES_NO_ROTATION}
"""(family, site) that the bridge has no hook for, with the reason."""

Conversion = Callable[[Tensor, Any], Tensor]

CONVERTED: dict[tuple[str, str], tuple[str, Conversion]] = {
    # without rotary positions, attention reads q and k as projected: assay has q_rot there too, the bridge has not
    ("gpt2", "q_rot"): ("attn.hook_q", lambda q, _: q),
    ("gpt2", "k_rot"): ("attn.hook_k", lambda k, _: k),
    # the bridge's unembedding is the projection alone; logits are what the model returns, after the soft cap
    ("gemma2", "logits"): (
        "unembed.hook_out",
        lambda x, config: config.final_logit_softcapping * torch.tanh(x / config.final_logit_softcapping),
    ),
}
"""(family, site) whose tensor differs, the bridge's hook, and how its tensor becomes ours."""


def theirs(cache: Any, family: str, site: SiteName, config: Any) -> Tensor | None:
    """The bridge's tensor for a site, as ours; None where it has none."""
    name, convert = CONVERTED.get((family, site.name), (None, lambda value, _: value))
    if name is None:
        name = SAME_OUTSIDE[site.name] if site.layer is None else SAME[site.name]
    full = name if site.layer is None else f"blocks.{site.layer}.{name}"
    return convert(cache[full], config) if full in cache else None


def bridge_of(native: nn.Module) -> Any:
    """A TransformerLens bridge around a model that is already here: no hub, no tokenizer. It changes what it is given."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    native = copy.deepcopy(native)
    config: Any = native.config
    bridge = build_bridge_from_module(native, type(native).__name__, hf_config=config)
    bridge.eval()
    return bridge


def cached(bridge: Any, ids: Tensor, *, heads: bool = True) -> tuple[Tensor, Any]:
    """Logits and everything that the bridge can see on these tokens, each head's share of the output too."""
    bridge.set_use_attn_result(heads)
    try:
        logits, cache = bridge.run_with_cache(ids)
    finally:
        bridge.set_use_attn_result(False)
    return logits, cache
