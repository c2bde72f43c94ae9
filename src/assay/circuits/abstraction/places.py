"""The places of a sweep: sites and positions, and the axes that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.errors import SettingsError
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.sourced_edits import Patch
from assay.models.structure import Site

Position = str | int | None


@dataclass(frozen=True)
class Places:
    """Every site at every position. `axis` is "layer" where one site name is taken at several layers, else "site"."""

    sites: tuple[Site, ...]
    positions: tuple[Position, ...]
    head: int | None
    axis: str
    along: tuple[int | str, ...]

    @classmethod
    def of(
        cls, model: Model, sites: str | Sequence[str], positions: Sequence[Position] | None, head: int | None
    ) -> Places:
        """The places that settings mean; a site without a layer is taken at every layer, no positions are all at once.

        Raises:
            SettingsError: no site, or one that can't be changed.
        """
        names = [sites] if isinstance(sites, str) else list(sites)
        found = tuple(site for name in names for site in model.network.sites_named(name))
        if not found or not (positions is None or positions):
            raise SettingsError("there is no place to look at: give at least one site and one position.")
        for site in found:
            if not site.writable:
                raise SettingsError(f"{site} can be read and not changed in this model: choose another site.")
        in_layers = {site.name.name for site in found if site.layer is not None}
        layered = len(in_layers) == 1 and all(site.layer is not None for site in found)
        along = tuple(site.layer if layered and site.layer is not None else str(site) for site in found)
        return cls(found, tuple(positions) if positions else (None,), head, "layer" if layered else "site", along)

    @property
    def cells(self) -> list[Patch]:
        """A patch of each place, sites first."""
        return [
            edit.patch(str(site), source="source", pos=pos, head=self.head)
            for site in self.sites
            for pos in self.positions
        ]

    @property
    def shape(self) -> tuple[int, int]:
        """How many sites and positions."""
        return len(self.sites), len(self.positions)

    @property
    def coords(self) -> dict[str, list[int | str]]:
        """The values along both axes; no position is "all"."""
        return {self.axis: list(self.along), "pos": ["all" if pos is None else str(pos) for pos in self.positions]}
