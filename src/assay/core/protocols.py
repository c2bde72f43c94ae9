"""What method folders hand to one another: `Scores`, a number for each component of a model.

Every localisation method makes Scores and every evaluation takes them; random and weight-norm baselines are Scores too.
Components are named as sites are: `L3.H2` a head, `L5.mlp` an MLP, `L5.attn` an attention layer, `embed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
import xarray as xr

from assay.core.calls import against, pass_on
from assay.core.errors import DataError, nearest

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from assay.stats.controls import Asked, Comparison

FORMAT = 1
_HEAD = re.compile(r"^L(\d+)\.H(\d+)$")


def head_name(layer: int, head: int) -> str:
    """`L3.H2`."""
    return f"L{layer}.H{head}"


def parse_head(component: str) -> tuple[int, int]:
    """`L3.H2` → (3, 2).

    Raises:
        DataError: the component is not an attention head.
    """
    match = _HEAD.match(component)
    if match is None:
        raise DataError(f"{component!r} is not an attention head: expected a name such as L3.H2.")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Scores:
    """A number for each component, with the values for each example where there are any.

    `values[c]` is the score of `components[c]`; `per_example[c, e]`, if kept, is what it is the mean of.

    >>> scores = Scores.of({"L0.H1": 0.2, "L3.mlp": 0.7}, quantity="share of the effect restored")
    >>> scores.top(1), scores["L0.H1"]
    (('L3.mlp',), 0.2)
    """

    handed_on: ClassVar[bool] = True

    components: tuple[str, ...]
    values: np.ndarray
    quantity: str
    per_example: np.ndarray | None = None
    facts: tuple[str, ...] = field(default=())
    unit: float | None = None
    """What a score of 1 stands for in the metric's own units, where scores are shares of something."""

    def __post_init__(self) -> None:
        if len(set(self.components)) != len(self.components):
            raise DataError("Scores name a component twice.")
        if self.values.shape != (len(self.components),):
            raise DataError(
                f"Scores of {len(self.components)} components need as many values, not {self.values.shape}."
            )
        if (wrong := np.isnan(self.values)).any():
            name = self.components[int(wrong.argmax())]
            count = f"{int(wrong.sum())} of {len(wrong)} scores are NaN, the first is {name}'s"
            raise DataError(f"{count}: mend what made them, or leave them out.")
        if self.per_example is not None and self.per_example.shape[:1] != self.values.shape:
            raise DataError(
                f"per-example scores have {self.per_example.shape[0]} rows for {len(self.values)} components."
            )

    @classmethod
    def of(cls, values: dict[str, float], quantity: str, facts: Iterable[str] = ()) -> Scores:
        """Scores from a mapping of component names to numbers."""
        return cls(tuple(values), np.array(list(values.values()), dtype=float), quantity, facts=tuple(facts))

    @classmethod
    def over_examples(
        cls,
        components: Sequence[str],
        per_example: np.ndarray,
        quantity: str,
        facts: Iterable[str] = (),
        *,
        unit: float | None = None,
    ) -> Scores:
        """Scores whose values are the means over examples of `per_example[component, example]`."""
        return cls(tuple(components), per_example.mean(axis=1), quantity, per_example, tuple(facts), unit)

    def __len__(self) -> int:
        return len(self.components)

    def __getitem__(self, component: str) -> float:
        if component not in self.components:
            raise DataError(f"There is no score for {component!r}.{nearest(component, self.components)}")
        return float(self.values[self.components.index(component)])

    def ranked(self, *, absolute: bool = False) -> tuple[str, ...]:
        """Components from the highest score to the lowest; ties in the order in which they are stored."""
        keys = np.abs(self.values) if absolute else self.values
        return tuple(self.components[i] for i in np.argsort(-keys, kind="stable"))

    def top(self, k: int, *, absolute: bool = False) -> tuple[str, ...]:
        """The `k` components with the highest scores."""
        return self.ranked(absolute=absolute)[:k]

    def tied(self, k: int, *, absolute: bool = False) -> tuple[str, ...]:
        """The components whose equal scores the cut after the `k` highest goes through; none where it parts unequal ones.

        >>> Scores.of({"L0.H0": 2.0, "L0.H1": 1.0, "L0.H2": 1.0}, quantity="q").tied(2)
        ('L0.H1', 'L0.H2')
        """
        keys = np.abs(self.values) if absolute else self.values
        if not 0 < k < len(keys):
            return ()
        last, first_out = np.sort(keys)[::-1][k - 1 : k + 1]
        return tuple(np.array(self.components)[keys == last].tolist()) if last == first_out else ()

    def only(self, pattern: str) -> Scores:
        """Those components whose whole name matches a regular expression, such as r"L\\d+\\.mlp"; DataError without any."""
        kept = [i for i, name in enumerate(self.components) if re.fullmatch(pattern, name)]
        if not kept and self.components:
            raise DataError(
                f"no component's whole name matches {pattern!r}; the first is {self.components[0]!r}. Heads, for one, are "
                r"r'L\d+\.H\d+'."
            )
        rows = None if self.per_example is None else self.per_example[kept]
        part = replace(
            self, components=tuple(self.components[i] for i in kept), values=self.values[kept], per_example=rows
        )
        return pass_on(self, part)

    def heads(self) -> xr.DataArray:
        """The heads among them as a table (layer, head), and example where kept; NaN where there is none."""
        grid = {name: parse_head(name) for name in self.components if _HEAD.match(name)}
        if not grid:
            raise DataError("none of these components is a head.")
        rows = self.values[:, None] if self.per_example is None else self.per_example
        layers, heads = (sorted({place[i] for place in grid.values()}) for i in (0, 1))
        table = np.full((len(layers), len(heads), rows.shape[1]), np.nan)
        for row, name in zip(rows, self.components, strict=True):
            if name in grid:
                table[layers.index(grid[name][0]), heads.index(grid[name][1])] = row
        found = xr.DataArray(
            table, dims=("layer", "head", "example"), coords={"layer": layers, "head": heads}, name=self.quantity
        )
        return found[:, :, 0] if self.per_example is None else found

    def plot(self, most: int = 30) -> Figure:
        """A plotly figure: heads alone as a heatmap (layer, head); others as bars, the `most` that are largest either way."""
        from assay.core.figures import figure  # plotly takes half a second to import

        if all(map(_HEAD.match, self.components)):
            return figure(self.heads(), {})
        array = self.to_dataset()["score"].rename(self.quantity)
        return figure(array.sel(component=list(self.top(most, absolute=True))), {})

    def against(self, *controls: str, **options: Unpack[Asked]) -> Comparison:
        """The best components' score beside the same quantity for controls, such as `"random"` or `"untrained"`.

        Without names, those that claims of this kind need. `assay.stats.controls` says what there is and what each costs.
        """
        return against(self, controls, options)  # type: ignore[no-any-return]

    def to_dataset(self) -> xr.Dataset:
        """A labelled copy: variable `score` over `component`, or over `component` and `example` where kept."""
        if self.per_example is None:
            array = xr.DataArray(self.values, dims="component", coords={"component": list(self.components)})
        else:
            coords = {"component": list(self.components)}
            array = xr.DataArray(self.per_example, dims=("component", "example"), coords=coords)
        unit = {} if self.unit is None else {"unit": self.unit}
        return xr.Dataset({"score": array}, attrs={"quantity": self.quantity, "facts": list(self.facts), **unit})

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Scores:
        """The scores that `to_dataset` wrote."""
        array = data["score"]
        components = [str(name) for name in array["component"].values]
        quantity, facts = str(data.attrs["quantity"]), [str(fact) for fact in data.attrs.get("facts", [])]
        unit = None if data.attrs.get("unit") is None else float(data.attrs["unit"])
        if "example" in array.dims:
            rows = array.transpose("component", "example").values
            return cls.over_examples(components, rows, quantity, facts, unit=unit)
        return cls(tuple(components), array.values, quantity, facts=tuple(facts), unit=unit)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives the same scores back, bit for bit."""
        rows = None if self.per_example is None else self.per_example.tolist()
        return {
            "format": FORMAT,
            "quantity": self.quantity,
            "components": list(self.components),
            "values": self.values.tolist(),
            "per_example": rows,
            "facts": list(self.facts),
            **({} if self.unit is None else {"unit": self.unit}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scores:
        """Scores from what `to_json` gave.

        Raises:
            DataError: the data come from a newer version.
        """
        if data["format"] > FORMAT:
            raise DataError(
                f"These scores have format {data['format']}; this version reads up to {FORMAT}: upgrade assay."
            )
        rows = None if data["per_example"] is None else np.array(data["per_example"], dtype=float)
        values = np.array(data["values"], dtype=float)
        return cls(tuple(data["components"]), values, data["quantity"], rows, tuple(data["facts"]), data.get("unit"))
