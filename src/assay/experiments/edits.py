"""What every edit has in common: where it changes the model, and which of its coordinates a sweep may still choose.

An edit names a site and, if less than the whole tensor is meant, positions, heads, dims, examples of the input and
generation steps. Coordinates that are left open (no layer in the site, `pos=None`, `head=None`, …) mean *all*, unless a
sweep takes them as an axis: then each variant of the sweep fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator

from assay.core.sites import SiteName
from assay.experiments.positions import Indices, Pos, Steps
from assay.experiments.record import Record

ANY_SITE = "*"
"""The site of an edit whose site a sweep chooses (axis "site")."""

PLACES = ("pos", "head", "dims", "examples", "step")
"""Fields that say where, beside the site; each is an axis that a sweep may take when the field is None."""


def normalised(site: str) -> str:
    """The site's name in our own grammar; aliases of other libraries are accepted."""
    return str(SiteName.parse(site))


Site = Annotated[str, AfterValidator(normalised)]
"""A site name, normalised."""

SiteOrAny = Annotated[str, AfterValidator(lambda site: site if site == ANY_SITE else normalised(site))]
"""A site name, normalised, or `*` for the one that a sweep chooses."""


class Edit(Record):
    """A change at a site. Each operation is a subclass."""

    numbers: ClassVar[tuple[str, ...]] = ()
    """Numeric fields of this operation that a sweep may vary."""

    op: str
    """The operation."""
    site: SiteOrAny
    """Where: a site name. Without a layer it means every layer that has the site."""
    pos: Pos = None
    """Positions of the prompt; None is all."""
    head: Indices = None
    """Heads, at a site that has a head axis; None is all."""
    dims: Indices = None
    """Entries of the last axis; None is all."""
    examples: Indices = None
    """Examples of the run's input; None is all."""
    step: Steps = None
    """Generation steps (0 is the prompt's own pass); None is all."""

    @property
    def source_run(self) -> str | None:
        """The run or input that the new value comes from, if it comes from one."""
        return None

    @property
    def every_layer(self) -> bool:
        """Whether the site lies in the layers and names none."""
        return without_layer(self.site)

    @property
    def local_only(self) -> bool:
        """True if the edit holds a Python function, which can be neither saved nor sent."""
        return False

    def is_free(self, axis: str) -> bool:
        """Whether a sweep may choose this coordinate: it was left open, or is a number left at its default."""
        if axis == "site":
            return self.site == ANY_SITE
        if axis == "layer":
            return self.site == ANY_SITE or without_layer(self.site)
        if axis in PLACES:
            return getattr(self, axis) is None
        return axis in self.numbers and getattr(self, axis) == type(self).model_fields[axis].default

    def at(self, coords: Mapping[str, Any]) -> Self:
        """This edit with its free coordinates filled in from `coords`; the others stay as they are."""
        update = {axis: value for axis, value in coords.items() if axis not in ("site", "layer") and self.is_free(axis)}
        site = self.site
        if site == ANY_SITE and "site" in coords:
            site = coords["site"]
        if "layer" in coords and without_layer(site):
            site = in_layer(site, coords["layer"])
        return self.model_copy(update={**update, "site": site})

    def __str__(self) -> str:
        where = [f"{name}={_shown(getattr(self, name))}" for name in PLACES if getattr(self, name) is not None]
        source = [f"from {self.source_run}"] if self.source_run else []
        return " ".join([self.op, self.site, *where, *source])


@lru_cache(maxsize=65536)
def in_layer(site: str, layer: int) -> str:
    """The site of that name in a layer."""
    return str(SiteName.parse(site).at(layer))


@lru_cache(maxsize=65536)
def without_layer(site: str) -> bool:
    """Whether the site lies in the layers and names none: every layer that has it is meant."""
    if site == ANY_SITE:
        return False
    name = SiteName.parse(site)
    return name.in_layers and name.layer is None


def _shown(value: object) -> str:
    return f"[{','.join(str(item) for item in value)}]" if isinstance(value, tuple) else str(value)
