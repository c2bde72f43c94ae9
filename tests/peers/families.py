"""The models that assay and its peers are compared on, and what "equal" means here."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tests.conformance import zoo
from torch import Tensor, nn

from assay.engine.model import Model, load

FAMILIES = ("gpt2", "llama", "gpt_neox", "gemma2", "qwen2", "qwen3")

VALUES = 1e-5
"""Between values at sites. All libraries run the same float32 weights, but not always the same kernels: TransformerLens
splits GPT-2's fused projection in three, which changes the order of sums in the last bits."""

EFFECTS = 1e-4
"""Between patching effects: differences of logits, through all layers after the patch."""


@dataclass(frozen=True)
class Subject:
    """A tiny random model. Each library gets its own copy of the same weights: some change what they are given."""

    name: str
    native: nn.Module
    ids: Tensor
    model: Model

    def copy(self) -> Any:
        """The native model with the same weights, for another library."""
        return copy.deepcopy(self.native)

    @property
    def other_ids(self) -> Tensor:
        """Prompts that differ from `ids` at every position but the first."""
        changed = (self.ids + 17) % 100
        changed[:, 0] = self.ids[:, 0]
        return changed

    def everything(self) -> dict[str, Tensor]:
        """Every site's value on `ids`, by site name."""
        run = self.model.run(self.ids, capture=[str(site.name) for site in self.model.sites])
        return dict(run.captured)


@cache
def subject(name: str) -> Subject:
    """The tiny model of this family, the same weights every time."""
    native, inputs = zoo.build(name)
    return Subject(name, native, inputs["input_ids"], load(copy.deepcopy(native)))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest entry where that is above one."""
    if ours.shape != theirs.shape:
        raise AssertionError(f"shapes {tuple(ours.shape)} and {tuple(theirs.shape)}")
    finite = theirs.isfinite() & (theirs > torch.finfo(theirs.dtype).min / 2)  # masked scores are -inf or the least
    scale = max(1.0, float(theirs[finite].abs().max()) if finite.any() else 1.0)
    return float((ours - theirs)[finite].abs().max()) / scale if finite.any() else 0.0
