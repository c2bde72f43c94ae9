"""The colour steps of figures, as CSS: blue for positive and orange for negative, which colour-blind readers tell apart.

In light, no effect is the page's white; in dark, its black: the eye goes to what is large in both.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.svg import SIGNED_STEPS, STEPS

_LIGHT_SIGNED = ("#7a3000", "#d2691e", "#f4bf8e", "#f6f5f3", "#a3cbe8", "#2b7bbd", "#083a6b")
_DARK_SIGNED = ("#ffc48a", "#e07b28", "#7d4215", "#20242b", "#1d4c75", "#3a8fd6", "#b3dcff")
_LIGHT = ("#f6f5f3", "#bcd9ee", "#5fa2d6", "#1f69a8", "#06305a")
_DARK = ("#20242b", "#1d4468", "#2a74b3", "#5fb0f0", "#d0eaff")

TRACKS = ("#0072b2", "#c85200", "#6b7280", "#00795a")
"""Lines, bars and points in light, as `--k0` to `--k3` of the style sheet: told apart by colour-blind readers on white."""
SIGNED_SCALE = [(i / 6, colour) for i, colour in enumerate(_LIGHT_SIGNED)]
"""For libraries that take anchors."""


def colours(*, dark: bool) -> str:
    """Custom properties for every step, for one theme."""
    signed = _steps(_DARK_SIGNED if dark else _LIGHT_SIGNED, SIGNED_STEPS)
    plain = _steps(_DARK if dark else _LIGHT, STEPS)
    named = [f"--d{i}:{colour}" for i, colour in enumerate(signed)]
    named += [f"--s{i}:{colour}" for i, colour in enumerate(plain)]
    return ";".join(named)


def rules() -> str:
    """The classes that use them, for cells of figures (`fill`) and for words (`background`)."""
    names = [f"d{i}" for i in range(SIGNED_STEPS + 1)] + [f"s{i}" for i in range(STEPS + 1)]
    return "".join(f".{name}{{fill:var(--{name});background-color:var(--{name})}}" for name in names)


def _steps(anchors: Sequence[str], steps: int) -> list[str]:
    """Colours along the anchors, straight lines between two of them."""
    points = [[int(anchor[i : i + 2], 16) for i in (1, 3, 5)] for anchor in anchors]
    return [_between(points, i * (len(points) - 1) / steps) for i in range(steps + 1)]


def _between(points: list[list[int]], place: float) -> str:
    first = min(int(place), len(points) - 2)
    part = place - first
    mixed = [round(a + (b - a) * part) for a, b in zip(points[first], points[first + 1], strict=True)]
    return "#" + "".join(f"{each:02x}" for each in mixed)
