"""Small pictures as SVG text: elements with escaped attributes, scales, ticks, and colour steps that themes recolour.

Colours are CSS classes, not values: `d0 … d40` runs from the most negative over nothing to the most positive, `s0 … s20`
from nothing to the most. The style sheet gives them one look in light and another in dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

SIGNED_STEPS = 40
STEPS = 20


def tag(name: str, *content: Any, **attributes: Any) -> Markup:
    """One element. `class_` is written `class`, other underscores become dashes; None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_short(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(map(escape, content))
    return Markup(f"<{name}{given}>{inner}</{name}>")


def picture(*content: Any, width: float, height: float, label: str, **attributes: Any) -> Markup:
    """A whole SVG with a label for those who can't see it."""
    size = {"viewBox": f"0 0 {_short(width)} {_short(height)}", "width": width, "height": height}
    return tag("svg", *content, role="img", aria_label=label, **size, **attributes)


def label(x: float, y: float, text: Any, *, anchor: str = "middle", class_: str | None = None) -> Markup:
    """Text at a place."""
    return tag("text", text, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_)


def _short(value: Any) -> str:
    """An attribute's value, escaped; numbers with two decimals at most."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value) if isinstance(value, int) else str(escape(value))


@dataclass(frozen=True)
class Scale:
    """From numbers to places along an axis; `log` for numbers over orders of magnitude."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a number is; numbers beyond the ends are at the ends."""
        low, high, value = (self._bent(each) for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers along the axis."""
        return _round_numbers(self.low, self.high, count)


def _round_numbers(low: float, high: float, count: int) -> list[float]:
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= 0.8 * raw)
    first = math.ceil(low / step - 1e-9)
    found = [each * step for each in range(first, math.floor(high / step + 1e-9) + 1)]
    return [0.0 if abs(each) < step / 1e6 else each for each in found]


def extent(values: Iterable[float], *, with_zero: bool = False, margin: float = 0.05) -> tuple[float, float]:
    """The range of the finite numbers, with a margin, so that nothing touches the frame."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    finite = [*finite, 0.0] if with_zero else finite
    low, high = min(finite), max(finite)
    room = margin * (high - low) if high > low else max(abs(high), 1.0) * 0.1
    return low - room * (low != 0 or not with_zero), high + room * (high != 0 or not with_zero)


def shade(value: float, limit: float, *, signed: bool) -> str:
    """The colour step of a number, where `limit` is the strongest colour; `na` where there is no number."""
    if not math.isfinite(value):
        return "na"
    share = max(-1.0, min(1.0, value / limit)) if limit else 0.0
    if signed:
        return f"d{round((share + 1) / 2 * SIGNED_STEPS)}"
    return f"s{round(max(0.0, share) * STEPS)}"


def number(value: float) -> str:
    """A number as figures and tables show it: three digits that mean something."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    if size < 0.001:
        return f"{value:.1e}".replace("-", "−")
    digits = 1 if size >= 100 else 2 if size >= 0.1 else 3
    return f"{value:.{digits}f}".replace("-", "−")


def tick(value: float) -> str:
    """A number beside an axis."""
    return f"{value:g}".replace("-", "−")
