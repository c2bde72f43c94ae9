"""Results of any kind as one table: named cells with a number each, and its values for each example where they are kept.

Scores have a cell for each component; a variable of a Result has one for each place of its axes but `example`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from assay.core.direction import Directions
from assay.core.errors import SettingsError, nearest
from assay.core.protocols import Scores
from assay.core.result import Result

_LAYER = re.compile(r"\bL(\d+)\b")


@dataclass(frozen=True, eq=False)
class Cells:
    """Numbers by name. `layers` and `rests` part a name into its layer and what else it says."""

    names: tuple[str, ...]
    values: Float[np.ndarray, " cell"]
    rows: Float[np.ndarray, "cell example"] | None
    quantity: str
    layers: tuple[int | None, ...]
    rests: tuple[str, ...]
    unit: float | None = None
    """What 1 stands for, where the numbers are shares."""

    @property
    def n(self) -> int | None:
        """How many examples; None where only the mean is kept."""
        return None if self.rows is None else self.rows.shape[1]

    def means(self, drawn: Int[np.ndarray, " example"] | None = None) -> Float[np.ndarray, " cell"]:
        """The mean of each cell over all examples, or over those that are drawn."""
        if self.rows is None or drawn is None:
            return self.values
        return np.asarray(self.rows @ np.bincount(drawn, minlength=self.rows.shape[1]).astype(float) / len(drawn))

    def only(self, names: Iterable[str]) -> Cells:
        """The cells of these names, in their order.

        Raises:
            SettingsError: one is not there.
        """
        where = {name: i for i, name in enumerate(self.names)}
        wanted = tuple(names)
        for name in wanted:
            if name not in where:
                raise SettingsError(f"The control gives no number for {name}.{nearest(name, where)}")
        kept = [where[name] for name in wanted]
        return Cells(
            wanted,
            self.values[kept],
            None if self.rows is None else self.rows[kept],
            self.quantity,
            tuple(self.layers[i] for i in kept),
            tuple(self.rests[i] for i in kept),
            self.unit,
        )

    def in_units_of(self, other: Cells) -> Cells:
        """The same with shares of what the other's are shares of.

        Of two networks the one that does nothing would else have shares of next to nothing, as large as you like.
        """
        if self.unit is None or not other.unit:
            return self
        factor = self.unit / other.unit
        rows = None if self.rows is None else self.rows * factor
        return replace(self, values=self.values * factor, rows=rows, unit=other.unit)


def cells_of(value: Any, variable: str | None = None, *, at: Mapping[str, str] | None = None) -> Cells:
    """The table of Scores, or of one variable of a Result (the first, if none is named) at some labels; no cells that are NaN.

    Raises:
        SettingsError: the value is neither, or there is no number in it.
    """
    match value:
        case Scores():
            found = _of_scores(value)
        case Directions():
            found = _of_directions(value)
        case Result():
            found = _of_result(value, value.names[0] if variable is None else variable, at or {})
        case _:
            raise SettingsError(
                f"Scores, directions and results can be compared with controls, not {type(value).__name__}."
            )
    numbers = [name for name, number in zip(found.names, found.values, strict=True) if not np.isnan(number)]
    if not numbers:
        raise SettingsError("All numbers are NaN: there is nothing to compare.")
    return found if len(numbers) == len(found.names) else found.only(numbers)


def one_cell(name: str, values: Float[np.ndarray, " example"]) -> Cells:
    """One number for each example, under one name."""
    rows = np.asarray(values, dtype=float)[None]
    return Cells((name,), rows.mean(1), rows, name, (None,), (name,))


def _of_scores(scores: Scores) -> Cells:
    parted = [_parted(name) for name in scores.components]
    return Cells(
        scores.components,
        scores.values,
        scores.per_example,
        scores.quantity,
        tuple(layer for layer, _ in parted),
        tuple(rest for _, rest in parted),
        scores.unit,
    )


def _of_directions(directions: Directions) -> Cells:
    rows = directions.per_example
    if rows is None:
        raise SettingsError("Nothing was measured of these directions: compare what reads or uses them.")
    parted = [_parted(name) for name in directions.names]
    layers, rests = tuple(layer for layer, _ in parted), tuple(rest for _, rest in parted)
    return Cells(directions.names, rows.mean(1), rows, directions.quantity, layers, rests)


def _parted(name: str) -> tuple[int | None, str]:
    found = _LAYER.findall(name)
    return (int(found[0]), _LAYER.sub("L", name)) if len(found) == 1 else (None, name)


def _of_result(result: Result, variable: str, at: Mapping[str, str]) -> Cells:
    array = result[variable].sel(at)
    if array.dtype.kind not in "fiub":
        raise SettingsError(f"{variable!r} holds no numbers: name another variable of {', '.join(result.names)}.")
    dims = [str(dim) for dim in array.dims if dim != "example"]
    if "example" in array.dims:
        rows = array.transpose(*dims, "example").values.astype(float)
        rows = rows.reshape(-1, rows.shape[-1])
        values = rows.mean(1)
    else:
        rows, values = None, array.values.astype(float).reshape(-1)
    labels = [array[dim].values.tolist() if dim in array.coords else list(range(array.sizes[dim])) for dim in dims]
    places = [dict(zip(dims, chosen, strict=True)) for chosen in product(*labels)]
    parted = [_parted_place(place) for place in places]
    names = tuple(_said(place) or variable for place in places)
    quantity = ", ".join([variable, _said(at)] if at else [variable])
    layers, rests = tuple(layer for layer, _ in parted), tuple(rest for _, rest in parted)
    return Cells(names, values, rows, quantity, layers, rests, array.attrs.get("unit"))


def _parted_place(place: Mapping[str, Any]) -> tuple[int | None, str]:
    """The layer by its axis, or as a label such as L3.H2 says it; and the rest."""
    if isinstance(place.get("layer"), int):
        return place["layer"], _said({dim: label for dim, label in place.items() if dim != "layer"})
    return _parted(_said(place))


def _said(place: Mapping[str, Any]) -> str:
    return ", ".join(f"{dim} {label}" for dim, label in place.items())
