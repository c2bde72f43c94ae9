"""Directions: vectors at sites, each with a reading. Probes, steering vectors and dictionary features are all of these.

    reading(x) = (x − origin) · vector / scale          high readings speak for the last of two labels, low ones for the first

A reading is a yes where it is above `threshold`. With more than two labels there is a direction for each label at each site,
and the highest reading wins. A subspace is the directions of one site: their span. What a direction does when it is added or
taken out is an edit (`assay.directions.edits`), and reading a model with it is a method: here are numbers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
import xarray as xr
from jaxtyping import Float

from assay.core.calls import against, pass_on
from assay.core.errors import DataError, nearest
from assay.core.sites import SiteName

if TYPE_CHECKING:
    from assay.stats.controls import Asked, Comparison

FORMAT = 1
Position = int | str
"""Where along a prompt a direction is read: a token index, or a named position."""


@dataclass(frozen=True, eq=False)
class Direction:
    """One vector at one site, with its reading."""

    name: str
    site: str
    vector: Float[np.ndarray, " d"]
    origin: Float[np.ndarray, " d"]
    scale: float = 1.0
    threshold: float = 0.0
    pos: Position | None = None

    @property
    def unit(self) -> Float[np.ndarray, " d"]:
        """The vector at length 1.

        Raises:
            DataError: its length is 0: nothing could be told apart at its site.
        """
        return np.asarray(self.vector / self._length())

    @property
    def step(self) -> Float[np.ndarray, " d"]:
        """What raises the reading by one when it is added: the shortest such vector.

        Raises:
            DataError: the vector's length is 0.
        """
        return np.asarray(self.vector * (self.scale / self._length() ** 2))

    def _length(self) -> float:
        length = float(np.linalg.norm(self.vector))
        if length == 0:
            raise DataError(f"The direction {self.name} has length 0, so it points nowhere: choose another.")
        return length

    def read(self, values: Float[np.ndarray, "*rows d"]) -> Float[np.ndarray, "*rows"]:
        """The reading of each row."""
        return np.asarray((values - self.origin) @ self.vector / self.scale)


@dataclass(frozen=True, eq=False)
class Directions:
    """Vectors at sites, all of one width, with what was measured of them where they were found.

    `names` are the sites' where there is one for each (`L5.resid_post`); for one of several labels `L5.resid_post=cat`.

    >>> found = Directions.of({"L0.resid_post": [3.0, 4.0]}, quantity="difference of means")
    >>> found["L0.resid_post"].unit.tolist(), found.sites
    ([0.6, 0.8], ('L0.resid_post',))
    """

    handed_on: ClassVar[bool] = True

    names: tuple[str, ...]
    sites: tuple[str, ...]
    vectors: Float[np.ndarray, "direction d"]
    quantity: str
    """What `per_example` is a mean of, or what the vectors are."""
    origins: Float[np.ndarray, "direction d"]
    scales: Float[np.ndarray, " direction"]
    thresholds: Float[np.ndarray, " direction"]
    pos: Position | None = None
    """Where along a prompt they were read; None: not said."""
    labels: tuple[str, ...] = ()
    """What readings tell apart: of two, high readings speak for the second; of more, each direction for its own."""
    per_example: Float[np.ndarray, "direction example"] | None = None
    facts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.names)
        if n == 0:
            raise DataError("There is no direction: expected at least one.")
        if len(set(self.names)) != n:
            raise DataError("Directions have a name twice.")
        if self.vectors.ndim != 2 or self.vectors.shape[0] != n or self.origins.shape != self.vectors.shape:
            raise DataError(
                f"{n} directions need a vector and an origin each, [{n}, d]: got {self.vectors.shape} and {self.origins.shape}."
            )
        if len(self.sites) != n or self.scales.shape != (n,) or self.thresholds.shape != (n,):
            raise DataError(f"{n} directions need a site, a scale and a threshold each.")
        if self.per_example is not None and self.per_example.shape[0] != n:
            raise DataError(f"per-example numbers have {self.per_example.shape[0]} rows for {n} directions.")
        bad = [
            name
            for name, *numbers in zip(self.names, self.vectors, self.origins, self.scales, self.thresholds, strict=True)
            if not all(np.isfinite(each).all() for each in numbers)
        ]
        if bad:
            raise DataError(f"{bad[0]} has numbers that are not finite: mend what made it, or leave it out.")

    @classmethod
    def of(
        cls, vectors: dict[str, Any], *, quantity: str, origins: dict[str, Any] | None = None, **more: Any
    ) -> Directions:
        """Directions from a vector for each site; those that have no origin are read from 0. `more`: other fields."""
        sites = tuple(vectors)
        rows = np.array([np.asarray(vectors[site], dtype=float) for site in sites])
        from_zero = [
            np.zeros(rows.shape[1:]) if origins is None else np.asarray(origins[site], float) for site in sites
        ]
        scales, thresholds = np.ones(len(sites)), np.zeros(len(sites))
        given = {"scales": scales, "thresholds": thresholds, **more}
        return cls(sites, sites, rows, quantity, np.array(from_zero), **given)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Direction]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> Direction:
        if name not in self.names:
            raise DataError(f"There is no direction {name!r}.{nearest(name, self.names)}")
        i = self.names.index(name)
        scale, threshold = float(self.scales[i]), float(self.thresholds[i])
        return Direction(name, self.sites[i], self.vectors[i], self.origins[i], scale, threshold, self.pos)

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The layer of each direction's site."""
        return tuple(SiteName.parse(site).layer for site in self.sites)

    @property
    def vector(self) -> Float[np.ndarray, "direction d"]:
        """All vectors, a row for each: what controls replace."""
        return self.vectors

    def with_vector(self, vector: Any) -> Directions:
        """The same sites, origins, scales and thresholds with other vectors; what was measured is forgotten."""
        rows = np.asarray(vector, dtype=float).reshape(self.vectors.shape)
        return replace(self, vectors=rows, per_example=None)

    def take(self, names: Sequence[str]) -> Directions:
        """The directions of these names, in this order."""
        for name in names:
            self[name]
        rows = [self.names.index(name) for name in names]
        numbers = {name: getattr(self, name)[rows] for name in ("vectors", "origins", "scales", "thresholds")}
        measured = None if self.per_example is None else self.per_example[rows]
        sites = tuple(self.sites[i] for i in rows)
        return pass_on(self, replace(self, names=tuple(names), sites=sites, per_example=measured, **numbers))

    def at(self, site: str) -> Directions:
        """The directions of one site.

        Raises:
            DataError: there is none.
        """
        found = [name for name, each in zip(self.names, self.sites, strict=True) if each == site]
        if not found:
            raise DataError(f"There is no direction at {site!r}.{nearest(site, self.sites)}")
        return self.take(found)

    def best(self) -> Direction:
        """The direction with the highest mean of what was measured; of equals, the first.

        Raises:
            DataError: nothing was measured.
        """
        if self.per_example is None:
            raise DataError("Nothing was measured of these directions: choose one by its name.")
        return self[self.names[int(self.per_example.mean(axis=1).argmax())]]

    def against(self, *controls: str, **options: Unpack[Asked]) -> Comparison:
        """What was measured of the best direction beside the same quantity for controls, such as `"untrained"`.

        Without names, those that claims of this kind need. `assay.stats.controls` says what there is and what each costs.
        """
        return against(self, controls, options)  # type: ignore[no-any-return]

    def to_dataset(self) -> xr.Dataset:
        """A labelled copy: `vector` and `origin` over `direction` and `dim`, `scale` and `threshold`, and `measured`."""
        variables = {
            "vector": (("direction", "dim"), self.vectors),
            "origin": (("direction", "dim"), self.origins),
            "scale": (("direction",), self.scales),
            "threshold": (("direction",), self.thresholds),
        }
        if self.per_example is not None:
            variables = {"measured": (("direction", "example"), self.per_example), **variables}
        coords = {"direction": list(self.names), "site": ("direction", list(self.sites))}
        attrs = {"quantity": self.quantity, "pos": self.pos, "labels": list(self.labels), "facts": list(self.facts)}
        return xr.Dataset(variables, coords=coords, attrs=attrs)

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Directions:
        """The directions that `to_dataset` wrote."""
        order = {"vector": ("direction", "dim"), "origin": ("direction", "dim")}
        numbers = {name: data[name].transpose(*order[name]).values for name in order}
        measured = data["measured"].transpose("direction", "example").values if "measured" in data else None
        said = {name: tuple(str(each) for each in data.attrs.get(name, ())) for name in ("labels", "facts")}
        return cls(
            tuple(str(name) for name in data["direction"].values),
            tuple(str(site) for site in data["site"].values),
            numbers["vector"],
            str(data.attrs["quantity"]),
            numbers["origin"],
            data["scale"].values,
            data["threshold"].values,
            data.attrs.get("pos"),
            said["labels"],
            measured,
            said["facts"],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives the same directions back, bit for bit."""
        arrays = ("vectors", "origins", "scales", "thresholds", "per_example")
        numbers = {name: None if (found := getattr(self, name)) is None else found.tolist() for name in arrays}
        texts = {name: list(getattr(self, name)) for name in ("names", "sites", "labels", "facts")}
        return {"format": FORMAT, "quantity": self.quantity, "pos": self.pos, **texts, **numbers}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Directions:
        """Directions from what `to_json` gave.

        Raises:
            DataError: the data come from a newer version.
        """
        if data["format"] > FORMAT:
            raise DataError(
                f"These directions have format {data['format']}; this version reads up to {FORMAT}: upgrade assay."
            )
        values: dict[str, Any] = {name: tuple(data[name]) for name in ("names", "sites", "labels", "facts")}
        values |= {name: np.array(data[name], dtype=float) for name in ("vectors", "origins", "scales", "thresholds")}
        measured = None if data["per_example"] is None else np.array(data["per_example"], dtype=float)
        return cls(**{**values, "quantity": data["quantity"], "pos": data["pos"], "per_example": measured})
