"""What each head and MLP adds to the residual stream, and what each head moves from each position to each other.

Where a norm follows attention, what a head adds is its output through that norm with the scale as it was: entry by entry, the
ratio of what is really added to what goes in. That heads and biases add up, and that a head's z is its pattern times its
values, is checked for every layer; where it is not so, the method says why it can't be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SiteError
from assay.core.protocols import head_name
from assay.engine.model import Model
from assay.engine.run_result import RunResult
from assay.models.taps import HeadOut, output_weight

TOLERANCE = 1e-2
"""Of the largest entry: more than rounding in half precision, less than a part that was forgotten."""
SITES = ("resid_pre", "resid_mid", "resid_post", "head_out", "z", "v", "pattern", "attn_out", "mlp_out")


@dataclass(frozen=True)
class Layer:
    """One layer of a run."""

    model: Model
    run: RunResult
    number: int

    def __getitem__(self, site: str) -> Tensor:
        return self.run[f"L{self.number}.{site}"]

    def has(self, site: str) -> bool:
        """Whether the layer has such a site."""
        return f"L{self.number}.{site}" in self.run.captured

    def scale(self) -> Float[Tensor, "batch pos d_model"]:
        """What the heads' sum is multiplied by, entry by entry, before it is added: 1 unless a norm follows attention."""
        heads, added = self["head_out"].sum(2), self["attn_out"]
        rest = added - heads
        largest = float(added.abs().max())
        if float((rest - rest[:1, :1]).abs().max()) <= TOLERANCE * largest:
            return torch.ones_like(added)  # what is left is a bias
        ratio = torch.where(heads.abs() > 0, added / heads, torch.zeros_like(added))
        shape = ratio / ratio.abs().mean(-1, keepdim=True)
        usual = shape.flatten(0, 1).median(0).values
        if float(((usual * ratio.abs().mean(-1, keepdim=True) * heads) - added).abs().max()) > TOLERANCE * largest:
            raise SiteError(
                f"layer {self.number}: what attention adds is neither the sum of its heads nor that sum through a norm that "
                "scales entries, so single heads have no contribution of their own."
            )
        return ratio

    def senders(self, *, whole: bool = False) -> Iterator[tuple[str, Float[Tensor, "batch pos d_model"]]]:
        """What each head, and the MLP, adds; with `whole`, what all that mixes positions adds in place of heads."""
        if whole:
            parts = [self[site] for site in ("attn_out", "ssm_out") if self.has(site)]
            yield f"L{self.number}.attn", sum(parts[1:], parts[0])
        elif self.has("head_out"):
            through = self["head_out"] * self.scale()[:, :, None]
            yield from ((head_name(self.number, h), through[:, :, h]) for h in range(through.shape[2]))
        if self.has("mlp_out"):
            yield f"L{self.number}.mlp", self["mlp_out"]

    def all(self) -> tuple[str, Float[Tensor, "batch pos d_model"]]:
        """What the layer adds, as one part."""
        return f"L{self.number}.block", self["resid_post"] - self["resid_pre"]

    def moved(self, head: int) -> Float[Tensor, "batch query key d_model"]:
        """What a head adds at each query from each key. Cost: batch · pos² · d_model numbers."""
        tap = self.model.site(f"L{self.number}.head_out").tap
        assert isinstance(tap, HeadOut)  # the site exists
        v, z = self["v"], self["z"][:, :, head]
        pattern = self["pattern"][:, head].to(v)  # a softmax may be in single precision
        value = v[:, :, head * v.shape[2] // self["z"].shape[2]]
        if float((pattern @ value - z).abs().max()) > TOLERANCE * float(z.abs().max()):
            raise SiteError(f"layer {self.number}: head {head}'s z is not its pattern times its values in this model.")
        weight = output_weight(
            self.model.native.get_submodule(tap.projection), self["z"].shape[2], turned=tap.turned
        ).detach()[head]
        written = value @ weight.to(value)
        found: Tensor = pattern[..., None] * written[:, None] * self.scale()[:, :, None]
        return found


def overlap(part: Float[Tensor, "*any d_model"], whole: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any"]:
    """How much nearer the part brings nothing to the whole: max(0, ‖whole‖₁ − ‖whole − part‖₁)."""
    found: Tensor = (whole.abs().sum(-1) - (whole - part).abs().sum(-1)).clamp(min=0)
    return found
