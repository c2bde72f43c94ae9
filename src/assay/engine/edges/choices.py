"""Choices of tokens that one layer makes and later ones hand on to each other (Hunyuan 4's shared indexers).

For each layer a choice is what its owner chose in this very pass, whichever other layers were cut from it: a layer that is
given the other run's hands that on, and the next one must not see it. A choice is one or the other; it has no slope.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from assay.engine.edges.reading import Given
from assay.engine.hooks import Change
from assay.models.structure import Site


def handed_on(given: Iterable[Given]) -> list[tuple[Site, Change]]:
    """What gives each part its owner's choice again, before any is cut."""
    chosen: dict[Site, Tensor] = {}

    def keep(site: Site) -> Change:
        return lambda value: chosen.setdefault(site, value)

    def again(first: Site) -> Change:
        return lambda value: chosen.get(first, value)

    shared = [(each.site, each.first) for each in given if each.first is not None]
    return [(site, keep(site) if site == first else again(first)) for site, first in shared]
