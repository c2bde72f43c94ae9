"""Two numbers of the same quantity, or two tables of them: the same, within tolerance, or different, and by how much.

Same means the same bits. Within tolerance: the difference is at most `tolerance` times the larger of the two, or of the
largest number of the table, so that numbers near nothing don't count as different for their last digits.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from assay.studies.conclusion import Number

Standing = Literal["same", "within tolerance", "differs"]
OTHER_KERNELS = 1e-4
"""What sums in another order, on another machine or in another version, may change relative to the size of the numbers."""


@dataclass(frozen=True)
class Agreement:
    """How two runs stand on one quantity."""

    name: str
    standing: Standing
    before: str
    after: str
    by: float | None = None
    """The later number minus the earlier one; for a table the largest difference; None where they can't be subtracted."""
    said: str = ""
    """What differs, in words."""

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def numbers_agree(name: str, before: Number, after: Number, *, tolerance: float, scale: float = 0.0) -> Agreement:
    """An estimate and its interval; `scale` is the smallest size that matters for it."""
    pairs = [(getattr(before, end), getattr(after, end)) for end in ("value", "low", "high")]
    standing: Standing = "same"
    for one, other in pairs:
        if one == other:
            continue
        if one is None or other is None or abs(one - other) > tolerance * max(abs(one), abs(other), scale):
            standing = "differs"
            break
        standing = "within tolerance"
    value, now = pairs[0]
    by = None if value is None or now is None else now - value
    said = ""
    if standing == "differs":
        ends = "only the interval's ends" if by == 0 else "" if by is None else f"by {by:+.3g}"
        said = ends or "there is a number in one run only"
    return Agreement(name, standing, before.text, after.text, by, said)


def tables_agree(name: str, before: xr.DataArray, after: xr.DataArray, *, tolerance: float) -> Agreement:
    """A variable of a step's result, place by place and example by example."""
    shapes = _shape(before), _shape(after)
    if set(before.dims) != set(after.dims) or before.sizes != after.sizes:
        return Agreement(name, "differs", *shapes, None, "the tables have another shape")
    after = after.transpose(*before.dims)
    for dim in before.dims:
        if before[dim].values.tolist() != after[dim].values.tolist():
            return Agreement(name, "differs", *shapes, None, f"{_others(before, after, str(dim))} of {dim} are others")
    one, other = before.values.astype(float), after.values.astype(float)
    unequal = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    if not unequal.any():
        return Agreement(name, "same", *shapes, 0.0)
    apart = np.abs(one - other)
    most = float(np.nanmax(apart[unequal])) if np.isfinite(apart[unequal]).any() else math.inf
    finite = np.abs(one[np.isfinite(one)])
    limit = tolerance * float(finite.max(initial=0.0))
    beyond = unequal & ~(apart <= limit)
    if not beyond.any():
        return Agreement(name, "within tolerance", *shapes, most)
    said = f"{int(beyond.sum())} of {one.size} numbers differ, by {most:.3g} at most; first {_place(before, beyond)}"
    return Agreement(name, "differs", *shapes, most if math.isfinite(most) else None, said)


def _shape(array: xr.DataArray) -> str:
    return " × ".join(f"{size} {dim}" for dim, size in array.sizes.items()) or "one number"


def _others(before: xr.DataArray, after: xr.DataArray, dim: str) -> str:
    pairs = zip(before[dim].values.tolist(), after[dim].values.tolist(), strict=True)
    return f"{sum(a != b for a, b in pairs)} of {before.sizes[dim]} labels"


def _place(array: xr.DataArray, where: np.ndarray) -> str:
    """The first place that is marked, by its labels."""
    at = np.unravel_index(int(where.reshape(-1).argmax()), where.shape)
    labels = [f"{dim} {array[dim].values[i]}" for dim, i in zip(array.dims, at, strict=True)]
    return ", ".join(labels) or "of them the only one"
