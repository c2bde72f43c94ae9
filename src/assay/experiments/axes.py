"""The axes of a sweep: which coordinates of the edits are varied, and over which values.

An axis has the name of what it varies: "layer", "pos", "head", "site", "dims", "examples", "step", or a numeric field
of an edit ("scale", "factor", "std", "value", "min", "max", "seed"). Edits that leave it open are varied together: an
axis is one coordinate, however many edits it fills in. Variants are all combinations, so their number is the product
of the axes' lengths: 30 layers and 14 positions make 420 variants, and with 9 heads 3,780.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, Strict, model_validator

from assay.core.errors import ExperimentError, nearest
from assay.experiments.edits import PLACES, normalised
from assay.experiments.record import Record

INDEX_AXES = ("layer", "pos", "head", "dims", "examples", "step", "seed")
"""Axes with whole numbers (positions may also be names)."""

COUNTED_AXES = ("layer", "pos", "head")
"""Axes whose values can be left to the model and the prompt: all that there are."""

NUMBER_AXES = ("scale", "factor", "std", "value", "min", "max")
"""Axes with any numbers."""

AXES = ("site", "layer", *PLACES, *NUMBER_AXES, "seed")
"""Every name that an axis can have."""

Coordinate = Annotated[int, Strict()] | Annotated[float, Strict()] | Annotated[str, Strict()]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | range):
        value = list(value)
    if isinstance(value, list | tuple):
        return tuple(item.item() if isinstance(item, np.generic) else item for item in value)
    return value


class Axis(Record):
    """One axis: its name, and its values."""

    name: str
    """What is varied."""
    values: Annotated[tuple[Coordinate, ...] | None, BeforeValidator(_plain)] = None
    """The values in order; None is all that there are, for layers, positions and heads."""

    @model_validator(mode="before")
    @classmethod
    def _fitting(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            return data
        name, values = data["name"], _plain(data.get("values"))
        if name not in AXES:
            raise ExperimentError(
                f"{name!r} is not an axis of a sweep: expected one of {', '.join(AXES)}.{nearest(name, AXES)}"
            )
        if values is None:
            if name not in COUNTED_AXES:
                raise ExperimentError(f"the axis {name!r} needs its values: give over={{{name!r}: [...]}}.")
            return data
        if not isinstance(values, tuple) or not values:
            raise ExperimentError(f"the values of the axis {name!r} must be a list that is not empty, not {values!r}.")
        fitted = tuple(_fitted(name, value) for value in values)
        for value in fitted:
            if fitted.count(value) > 1:
                raise ExperimentError(f"the axis {name!r} has the value {value!r} twice.")
        return {**data, "values": fitted}


def _fitted(axis: str, value: Any) -> int | float | str:
    if axis == "site" and isinstance(value, str):
        return normalised(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if axis in INDEX_AXES and (whole or (axis == "pos" and isinstance(value, str))):
        return value  # type: ignore[no-any-return]
    if axis in NUMBER_AXES and (whole or isinstance(value, float)):
        return float(value)
    expected = {"site": "site names", "pos": "indices or names"}.get(
        axis, "indices" if axis in INDEX_AXES else "numbers"
    )
    raise ExperimentError(f"{value!r} is not a value for the axis {axis!r}: expected {expected}.")


def _as_axes(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping):
        return tuple(Axis(name=name, values=values) for name, values in value.items())
    if isinstance(value, Sequence):
        return tuple(Axis(name=item) if isinstance(item, str) else item for item in value)
    return value


class Sweep(Record):
    """Which coordinates are varied. Results have one axis for each, in this order."""

    axes: Annotated[Annotated[tuple[Axis, ...], Field(min_length=1)], BeforeValidator(_as_axes)]
    """The axes, outermost first. A list of names, or a dict from names to values, is accepted too."""
    runs: tuple[str, ...] = ()
    """The runs whose edits are filled in; empty is the experiment's main run alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """The axes' names in order."""
        return tuple(axis.name for axis in self.axes)

    @model_validator(mode="after")
    def _names_differ(self) -> Sweep:
        for name in self.names:
            if self.names.count(name) > 1:
                raise ExperimentError(f"the sweep has the axis {name!r} twice.")
        return self
