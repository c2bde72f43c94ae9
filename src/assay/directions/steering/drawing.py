"""The picture of a steering result: effect against cost, strength by strength, beside the controls.

Across is what it costs (KL on unrelated text, or at the prompt where there was none), up is the change of the logit difference;
a mark for each strength, joined in their order, with 95 % intervals of the mean over examples. Lines across are what words in
the prompt give, and what the other side of the pairs has. A control that does as much at the same cost lies on the same curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from markupsafe import Markup

from assay.core.pictures import Picture, pictures
from assay.core.svg import Scale, extent, label, picture, tag, tick

INK, PAPER, GRID, PLAIN = "#1c2128", "#ffffff", "#dfe3e8", "#5d6673"
COLOURS = {"added": "#0f62ad", "opposite": "#d95f02", "random": "#4b4b4b"}
DASHES = {"added": None, "opposite": "7 4", "random": "2 4"}
WIDTH, HEIGHT = 640.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 20.0, 40.0, 58.0
NORMAL = 1.96
CAPTION = (
    "Change of the logit difference towards the target against the cost, in nats a token; a mark for each strength, with "
    "a 95 % interval of the mean over examples."
)


@dataclass(frozen=True)
class Curve:
    """Means by strength: what it costs, what it does, and half an interval of that."""

    kind: str
    cost: Float[np.ndarray, " strength"]
    effect: Float[np.ndarray, " strength"]
    half: Float[np.ndarray, " strength"]


@pictures
def steering_pictures(data: xr.Dataset) -> list[Picture]:
    """A picture for each direction of a steering result; none for anything else."""
    if not {"effect", "effect_opposite", "kl", "counterpart", "added_share"} <= set(data.data_vars):
        return []
    names = [str(name) for name in data["direction"].values]
    return [Picture(_drawn(data.sel(direction=name), name), CAPTION, f"Steering at {name}") for name in names]


def _drawn(data: xr.Dataset, name: str) -> Markup:
    cost = "text_kl" if "text_kl" in data else "kl"
    curves = _curves(data, cost)
    lines = {"the other side of the pairs": float((data["counterpart"] - data["unsteered"]).mean())}
    if "effect_prompt" in data:
        lines["words in the prompt"] = float(data["effect_prompt"].mean())
    ends = [value for each in curves for value in (*(each.effect - each.half), *(each.effect + each.half))]
    across = Scale(0.0, extent([x for each in curves for x in each.cost], with_zero=True)[1], LEFT, WIDTH - RIGHT)
    up = Scale(*extent([*ends, *lines.values()], with_zero=True), HEIGHT - BOTTOM, TOP)
    title = f"{name}: what is added does, and what it costs"
    parts = [tag("rect", width=WIDTH, height=HEIGHT, fill=PAPER, rx=6), *_frame(across, up, title, cost)]
    for text, value in lines.items():
        parts += [_across(up(value), PLAIN, "9 3 2 3"), label(WIDTH - RIGHT, up(value) - 4, text, anchor="end")]
    for each in curves:
        parts += _curve(each, across, up)
    return picture(
        *parts, *_legend(curves), width=WIDTH, height=HEIGHT, label=title, xmlns="http://www.w3.org/2000/svg",
        style=f"font-family:sans-serif;font-size:11px;fill:{INK}",
    )  # fmt: skip


def _curves(data: xr.Dataset, cost: str) -> list[Curve]:
    found = [
        _of("added", data["effect"], data[cost]),
        _of("opposite", data["effect_opposite"], data[f"{cost}_opposite"]),
    ]
    draws = range(data.sizes.get("draw", 0))
    return found + [_of("random", data["effect_random"][i], data[f"{cost}_random"][i]) for i in draws]


def _of(kind: str, effect: xr.DataArray, cost: xr.DataArray) -> Curve:
    order = np.argsort(np.abs(effect["strength"].values), kind="stable")
    n = effect.sizes["example"]
    spread = effect.std("example", ddof=1) if n > 1 else effect.mean("example") * 0
    values = (cost.mean("example"), effect.mean("example"), NORMAL * spread / np.sqrt(n))
    return Curve(kind, *(np.asarray(each.values)[order] for each in values))


def _frame(across: Scale, up: Scale, title: str, cost: str) -> list[Markup]:
    found = [label(LEFT, 22, title, anchor="start")]
    for value in up.ticks(6):
        found += [
            _across(up(value), PLAIN if value == 0 else GRID),
            label(LEFT - 6, up(value) + 4, tick(value), anchor="end"),
        ]
    for value in across.ticks(6):
        x = across(value)
        found.append(tag("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, stroke=GRID, stroke_width=1.0))
        found.append(label(x, HEIGHT - BOTTOM + 15, tick(value)))
    where = "unrelated text" if cost == "text_kl" else "the prompt's last token"
    found.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 31, f"KL on {where}, nats"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"rotate(-90 16 {middle:.0f})"
    found.append(
        tag("text", "change of the logit difference", x=16.0, y=middle, text_anchor="middle", transform=turned)
    )
    return found


def _across(y: float, colour: str, dash: str | None = None) -> Markup:
    return tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke=colour, stroke_width=1.0, stroke_dasharray=dash)


def _curve(curve: Curve, across: Scale, up: Scale) -> list[Markup]:
    colour, xs, ys = COLOURS[curve.kind], [across(x) for x in curve.cost], [up(y) for y in curve.effect]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    found = [
        tag(
            "polyline", points=points, fill="none", stroke=colour, stroke_width=1.5, stroke_dasharray=DASHES[curve.kind]
        )
    ]
    for x, y, middle, half in zip(xs, ys, curve.effect, curve.half, strict=True):
        found.append(
            tag("line", x1=x, x2=x, y1=up(middle - half), y2=up(middle + half), stroke=colour, stroke_width=1.0)
        )
        found.append(tag("circle", cx=x, cy=y, r=3.5, fill=colour))
    return found


def _legend(curves: list[Curve]) -> list[Markup]:
    found, x = [], LEFT
    for kind in dict.fromkeys(each.kind for each in curves):
        y = HEIGHT - 10
        found.append(
            tag(
                "line",
                x1=x,
                x2=x + 22,
                y1=y - 4,
                y2=y - 4,
                stroke=COLOURS[kind],
                stroke_width=2.0,
                stroke_dasharray=DASHES[kind],
            )
        )
        text = {"random": "random, same length"}.get(kind, kind)
        found.append(label(x + 27, y, text, anchor="start"))
        x += 27 + 7.0 * len(text) + 20
    return found
