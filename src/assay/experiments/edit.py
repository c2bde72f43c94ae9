"""Make edits: `from assay import edit`, then `edit.zero("L3.mlp_out", pos=-1)`.

Every function takes the places to change as `pos=`, `head=`, `dims=`, `examples=` and `step=`; what is left out means
all. A site without a layer means every layer that has it. `docs/experiments.md` has an example of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, Unpack

import numpy as np
from pydantic import Field
from torch import Tensor

from assay.experiments.edge_edits import STREAM, Edges
from assay.experiments.edits import ANY_SITE, Edit
from assay.experiments.given_edits import (
    Add,
    Call,
    Clamp,
    EditFunction,
    Feature,
    GivenEdit,
    Noise,
    ProjectOut,
    Scale,
    Set,
    Zero,
)
from assay.experiments.positions import Slice
from assay.experiments.sourced_edits import Freeze, Mean, Patch, Resample, SourcedEdit, Swap, SwapFeatures

__all__ = [
    "ANY_SITE", "AnyEdit", "Edit", "Slice", "add", "call", "clamp", "edges", "feature", "freeze", "mean", "noise", "patch",
    "project_out", "resample", "scale", "set", "swap", "swap_features", "zero",
]  # fmt: skip

AnyEdit = Annotated[GivenEdit | SourcedEdit | Edges, Field(discriminator="op")]
"""Any of the operations, told apart by `op`."""

TensorLike = Tensor | np.ndarray[Any, Any] | Sequence[Any] | float
PosLike = int | str | Sequence[int | str] | Slice | slice | None
IndicesLike = int | Sequence[int] | Slice | slice | None


class Where(TypedDict, total=False):
    """Where an edit applies, beside its site; each left out means all."""

    pos: PosLike
    head: IndicesLike
    dims: IndicesLike
    examples: IndicesLike
    step: IndicesLike


def set(site: str, value: TensorLike | None = None, **where: Unpack[Where]) -> Set:
    """Replace by `value`, a number or a tensor that broadcasts to the selected part."""
    return Set(site=site, value=value, **where)


def zero(site: str, **where: Unpack[Where]) -> Zero:
    """Replace by zero."""
    return Zero(site=site, **where)


def mean(site: str, over: str, *, per_position: bool = False, **where: Unpack[Where]) -> Mean:
    """Replace by the mean of the run or input `over`: over examples, and over positions unless `per_position`."""
    return Mean(site=site, over=over, per_position=per_position, **where)


def patch(
    site: str, source: str, *, source_site: str | None = None, source_pos: PosLike = None, **where: Unpack[Where]
) -> Patch:
    """Replace by the value that the run or input `source` has at the same place, or at `source_site`, `source_pos`."""
    return Patch(site=site, source=source, source_site=source_site, source_pos=source_pos, **where)


def resample(site: str, source: str, *, seed: int = 0, **where: Unpack[Where]) -> Resample:
    """Replace by the value of a random other example of the run or input `source`."""
    return Resample(site=site, source=source, seed=seed, **where)


def add(site: str, vector: TensorLike, *, scale: float = 1.0, **where: Unpack[Where]) -> Add:
    """Add `scale * vector`."""
    return Add(site=site, vector=vector, scale=scale, **where)


def scale(site: str, factor: float | None = None, **where: Unpack[Where]) -> Scale:
    """Multiply by `factor`."""
    return Scale(site=site, factor=factor, **where)


def clamp(site: str, *, min: float | None = None, max: float | None = None, **where: Unpack[Where]) -> Clamp:
    """Keep every entry between `min` and `max`."""
    return Clamp(site=site, min=min, max=max, **where)


def project_out(site: str, directions: TensorLike, **where: Unpack[Where]) -> ProjectOut:
    """Remove the component in the span of `directions`, the rows of `[k, d]` or one `[d]`."""
    return ProjectOut(site=site, directions=directions, **where)


def swap(site: str, source: str, *, basis: TensorLike, **where: Unpack[Where]) -> Swap:
    """Replace the component in the span of the columns of `basis` `[d, k]` by that of the run or input `source`."""
    return Swap(site=site, source=source, basis=basis, **where)


def feature(
    site: str,
    dictionary: str,
    *,
    values: Mapping[int, float],
    scale: float | None = None,
    relative: bool = False,
    keep_error: bool = True,
    **where: Unpack[Where],
) -> Feature:
    """Give features of a dictionary the activations `values` times `scale`, `relative` to their own if asked."""
    chosen = {"values": dict(values), "scale": scale, "relative": relative, "keep_error": keep_error}
    return Feature(site=site, dictionary=dictionary, **chosen, **where)


def swap_features(
    site: str, source: str, *, dictionary: str, features: Sequence[int], **where: Unpack[Where]
) -> SwapFeatures:
    """Give features of a dictionary the activations that they have in the run or input `source`."""
    return SwapFeatures(site=site, source=source, dictionary=dictionary, features=tuple(features), **where)


def freeze(site: str, source: str, **where: Unpack[Where]) -> Freeze:
    """Hold at the value of the run or input `source`, whatever other edits do upstream."""
    return Freeze(site=site, source=source, **where)


def edges(source: str, *, senders: Sequence[str], receivers: Sequence[str], kept: TensorLike) -> Edges:
    """Let receivers (`L3.H2.q`, `L3.mlp`, `logits`) read what senders (`embed`, `L0.H1`, `L2.mlp`) wrote in `source`,
    where `kept` [sender, receiver] is 0; where it is 1 they read what is written here."""
    return Edges(site=STREAM, source=source, senders=tuple(senders), receivers=tuple(receivers), kept=kept)


def noise(site: str, std: float | None = None, *, seed: int = 0, **where: Unpack[Where]) -> Noise:
    """Add Gaussian noise of standard deviation `std`."""
    return Noise(site=site, std=std, seed=seed, **where)


def call(site: str, fn: EditFunction, **where: Unpack[Where]) -> Call:
    """Apply a Python function to the site's tensor: for exploration, never saved or sent."""
    return Call.of(site, fn, **where)
