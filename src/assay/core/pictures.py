"""Pictures that a kind of result has of its own: registered by the folder that makes such results, drawn by reports.

    @pictures
    def curves(data: xr.Dataset) -> list[Picture]: ...

A function is given the stored numbers and nothing else, and returns no picture for results that are not of its kind. It is
registered when its module is imported, which listing methods does: packages need no entry point of their own.

For PDF and PNG a picture is drawn from its shapes: rect, line, circle, polygon, polyline, path (M, L, C, Z), text, and g, which
may be moved (`translate`). Colours are written out (#rrggbb).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr
from markupsafe import Markup

from assay.core.registry import methods


@dataclass(frozen=True)
class Picture:
    """A picture as SVG, in its own colours on its own paper, with what is said below it."""

    svg: Markup
    caption: str
    title: str = ""
    whole: bool = False
    """Whether it shows the result by itself, so that no other figure of the same numbers is wanted."""


Draw = Callable[[xr.Dataset], list[Picture]]
_DRAWERS: dict[str, Draw] = {}


def pictures(draw: Draw) -> Draw:
    """Register a function that draws results of its kind."""
    _DRAWERS[f"{draw.__module__}.{draw.__name__}"] = draw
    return draw


def pictures_of(data: xr.Dataset) -> list[Picture]:
    """Every picture that these numbers have of their own, in the order of the functions' names."""
    methods()
    return [picture for name in sorted(_DRAWERS) for picture in _DRAWERS[name](data)]
