"""Patching sweeps with TransformerLens' own `patching` module, one pass for each cell.

Path patching: its `get_act_patch_direct_path` refuses k and v where key heads are shared, so its general function patches q, k
and v with what the sender's run, held in between, has there. That is one pass a cell, as in its helper, without the copies of
the residual stream for every head that the helper makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from side_by_side.by_hooks import split, twin
from side_by_side.sweep_rows import Part
from torch import Tensor, nn

NAMES = {
    "resid_pre": "hook_resid_pre", "z": "attn.hook_z", "attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out",
    "q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_v",
}  # fmt: skip


def theirs(name: str) -> str:
    site, layer = split(name)
    return f"blocks.{layer}.{NAMES[site]}"


def build(native: Any) -> Any:
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    native = twin(native)
    bridge = build_bridge_from_module(native, type(native).__name__, hf_config=native.config)
    bridge.eval()
    return bridge


class TransformerLens:
    def __init__(self, native: nn.Module) -> None:
        from transformer_lens import patching

        patching.tqdm = lambda rows: rows  # no bar for each sweep
        self.bridge = build(native)

    def captured(self, ids: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        wanted = [theirs(name) for name in names]
        _, cache = self.bridge.run_with_cache(ids, names_filter=wanted)
        return {name: cache[name] for name in wanted}

    def prepare(self, part: Part) -> Mapping[str, Tensor]:
        names = [f"L{layer}.{site}" for site in part.sites for layer in part.layers]
        if not part.sender:
            return self.captured(part.corrupt, names)
        layer, head = part.sender
        held = self.captured(part.clean, part.between(len(self.bridge.blocks)))
        other = self.captured(part.corrupt, [f"L{layer}.z"])[theirs(f"L{layer}.z")]

        def send(value: Tensor, hook: Any) -> Tensor:
            value[:, :, head] = other[:, :, head]
            return value

        kept: dict[str, Tensor] = {}
        hooks: list[Any] = [(theirs(f"L{layer}.z"), send)]
        hooks += [(name, lambda value, hook, v=v: v.clone()) for name, v in held.items()]
        hooks += [(n, lambda value, hook, n=n: kept.update({n: value.clone()})) for n in map(theirs, names)]
        self.bridge.run_with_hooks(part.clean, fwd_hooks=hooks)
        return kept

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        import pandas as pd
        from transformer_lens import patching

        axes = {"layer": part.layers, "pos": part.positions, "head": part.heads}
        given = {name: v for name, v in axes.items() if v is not None}
        setter = {
            ("layer", "pos"): patching.layer_pos_patch_setter,
            ("layer", "head"): patching.layer_head_vector_patch_setter,
            ("layer", "pos", "head"): patching.layer_pos_head_vector_patch_setter,
        }[tuple(given)]
        index = pd.MultiIndex.from_product(given.values(), names=given).to_frame(index=False)
        found = [
            patching.generic_activation_patch(
                self.bridge, part.clean, values, lambda logits: part.score(logits[:, -1]), setter, site,
                index_df=index, reduce="none",
            ).values
            for site in part.sites
        ]  # fmt: skip
        return torch.cat(found)
