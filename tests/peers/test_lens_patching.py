"""Patching effects against TransformerLens' own sweeps: every layer and position, every head."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.peers.families import EFFECTS, FAMILIES, Subject, subject
from tests.peers.lens_names import bridge_of
from torch import Tensor

from assay import edit, metric, sweep

pytestmark = pytest.mark.peers

ANSWERS, WRONG = [5, 6], [7, 9]

SWEEPS: dict[str, tuple[str, str, list[str]]] = {
    "residual stream before each block": ("get_act_patch_resid_pre", "resid_pre", ["layer", "pos"]),
    "residual stream between attention and MLP": ("get_act_patch_resid_mid", "resid_mid", ["layer", "pos"]),
    "attention outputs": ("get_act_patch_attn_out", "attn_out", ["layer", "pos"]),
    "MLP outputs": ("get_act_patch_mlp_out", "mlp_out", ["layer", "pos"]),
    "heads": ("get_act_patch_attn_head_out_all_pos", "z", ["layer", "head"]),
    "heads at each position": ("get_act_patch_attn_head_out_by_pos", "z", ["layer", "pos", "head"]),
    "queries": ("get_act_patch_attn_head_q_all_pos", "q", ["layer", "head"]),
    "keys": ("get_act_patch_attn_head_k_all_pos", "k", ["layer", "head"]),
    "values": ("get_act_patch_attn_head_v_all_pos", "v", ["layer", "head"]),
    "attention patterns": ("get_act_patch_attn_head_pattern_all_pos", "pattern", ["layer", "head"]),
}
"""What is patched: TransformerLens' function, our site, and the axes of the sweep."""


def logit_difference(logits: Tensor) -> Tensor:
    last = logits[:, -1]
    rows = torch.arange(len(last))
    return (last[rows, torch.tensor(ANSWERS)] - last[rows, torch.tensor(WRONG)]).mean()


def theirs(one: Subject, function: Callable[..., Tensor]) -> Tensor:
    bridge: Any = bridge_of(one.native)
    with torch.no_grad():
        _, clean = bridge.run_with_cache(one.ids)
        return function(bridge, one.other_ids, clean, logit_difference)


def ours(one: Subject, site: str, axes: list[str]) -> Tensor:
    experiment = sweep(
        edit.patch(site, source="clean"), over=axes, base="corrupt",
        inputs={"clean": one.ids.tolist(), "corrupt": one.other_ids.tolist()},
        metrics=[metric.logit_diff(ANSWERS, WRONG)],
    )  # fmt: skip
    found = one.model.measure(experiment)["logit_diff"].mean("example").transpose(*axes)
    return torch.as_tensor(found.to_numpy())


@pytest.mark.parametrize("what", SWEEPS)
@pytest.mark.parametrize("family", FAMILIES)
def test_effects_equal_those_of_the_patching_functions(transformer_lens: ModuleType, family: str, what: str) -> None:
    from transformer_lens import patching

    name, site, axes = SWEEPS[what]
    one = subject(family)
    if one.model.why_not(f"L0.{site}"):
        pytest.skip(f"{family} has no {site}: {one.model.why_not(f'L0.{site}')}")
    expected = theirs(one, getattr(patching, name))
    found = ours(one, site, axes)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < EFFECTS
    assert float(expected.std()) > 100 * EFFECTS, "the patches do something, so that equality means something"
