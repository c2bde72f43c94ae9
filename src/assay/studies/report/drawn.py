"""A figure: its picture as SVG, what is said below it, and its numbers for those who draw it again elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from markupsafe import Markup


@dataclass(frozen=True)
class Track:
    """Numbers along an axis, with the ends of their intervals where there are any."""

    name: str
    x: tuple[Any, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Numbers:
    """What a figure of tracks shows; a heatmap's numbers are in `Drawn.data`."""

    kind: Literal["lines", "bars", "points", "scatter"]
    x_title: str
    y_title: str
    tracks: tuple[Track, ...] = ()
    log: bool = False

    def with_series(
        self, name: str, x: Iterable[Any], y: Iterable[float], *,
        low: Iterable[float] | None = None, high: Iterable[float] | None = None, labels: Sequence[str] | None = None,
    ) -> Numbers:  # fmt: skip
        """The same with one more track."""
        ends = [None if end is None else tuple(float(each) for each in end) for end in (low, high)]
        named = None if labels is None else tuple(labels)
        track = Track(name, tuple(x), tuple(float(each) for each in y), ends[0], ends[1], named)
        return replace(self, tracks=(*self.tracks, track))


@dataclass(frozen=True)
class Drawn:
    """A figure. `data` is what the page's script reads; `kind` says which part of it."""

    picture: Markup
    caption: str
    data: dict[str, Any] | None = None
    wide: bool = False
    title: str = ""
    kind: str = "plain"
    numbers: Numbers | None = None
