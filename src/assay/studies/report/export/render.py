"""A figure as vector PDF or as PNG: the same shapes as in the page, drawn by matplotlib (extra `paper`).

Fonts are embedded as outlines that conferences accept (Type 42). The file holds no date and no name, so that the same run
gives the same bytes.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, Literal

from markupsafe import Markup

from assay.core.extras import need
from assay.studies.report.export.shapes import Shape, Shapes, shapes_of

PIXEL = 1 / 96
"""Inches."""
POINTS = 0.75
"""Points in a pixel."""
_SETTINGS = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "lines.scale_dashes": False}
SHARP = 192
"""Dots per inch of a PNG: two for each pixel."""


def rendered(picture: Markup, form: Literal["pdf", "png"]) -> bytes:
    """The picture as a file's content.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = need("matplotlib", extra="paper", why="writing figures as PDF or PNG")
    figures = need("matplotlib.figure", extra="paper", why="writing figures as PDF or PNG")
    content = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        drawn = _figure(shapes_of(picture), figures)
        metadata: dict[str, Any] = (
            {"Creator": "assay", "Producer": "assay", "CreationDate": None} if form == "pdf" else {}
        )
        drawn.savefig(content, format=form, dpi=SHARP, metadata=metadata or {"Software": "assay"}, facecolor="white")
    return content.getvalue()


def _figure(shapes: Shapes, figures: Any) -> Any:
    figure = figures.Figure(figsize=(shapes.width * PIXEL, shapes.height * PIXEL))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, shapes.width)
    axes.set_ylim(shapes.height, 0)
    axes.axis("off")
    for i, shape in enumerate(shapes.shapes):
        if shape.kind == "text":
            _text(axes, shape, i)
        else:
            axes.add_patch(_patch(shape, i))
    return figure


def _text(axes: Any, shape: Shape, order: int) -> None:
    anchor = {"middle": "center", "end": "right"}.get(shape.look.get("text-anchor", "start"), "left")
    axes.text(
        *shape.at,
        shape.text,
        color=_colour(shape.look.get("fill", "#000000"), 1.0),
        fontsize=float(shape.look.get("font-size", "11.5").removesuffix("px")) * POINTS,
        ha=anchor,
        va="baseline",
        rotation=-shape.turned,
        rotation_mode="anchor",
        zorder=order,
        parse_math=False,
    )


def _patch(shape: Shape, order: int) -> Any:
    patches = need("matplotlib.patches", extra="paper", why="drawing figures")
    style = _style(shape.look) | {"zorder": order}
    if shape.kind == "circle":
        return patches.Circle(shape.at, shape.radius, **style)
    path = need("matplotlib.path", extra="paper", why="drawing figures").Path
    codes = {"M": path.MOVETO, "L": path.LINETO, "C": path.CURVE4, "Z": path.CLOSEPOLY}
    vertices, kinds = [], []
    for letter, points in shape.steps:
        vertices += list(points) or [shape.steps[0][1][0]]
        kinds += [codes[letter]] * max(1, len(points))
    return patches.PathPatch(path(vertices, kinds), **style)


def _style(look: dict[str, str]) -> dict[str, Any]:
    whole = float(look.get("opacity", 1))
    width = float(look.get("stroke-width", "1").removesuffix("px"))
    dashes = [
        float(each) * POINTS for each in look.get("stroke-dasharray", "").replace(",", " ").split() if each != "none"
    ]
    return {
        "facecolor": _colour(look.get("fill", "#000000"), whole * float(look.get("fill-opacity", 1))),
        "edgecolor": _colour(look.get("stroke", "none"), whole * float(look.get("stroke-opacity", 1))),
        "linewidth": width * POINTS,
        "linestyle": (0, dashes) if dashes else "solid",
        "capstyle": "butt",
        "joinstyle": "miter",
    }


def _colour(text: str, opacity: float) -> tuple[float, float, float, float] | str:
    """`#rgb`, `#rrggbb` or `#rrggbbaa`; anything else draws nothing."""
    digits = text.removeprefix("#")
    if not text.startswith("#") or len(digits) not in (3, 6, 8):
        return "none"
    digits = "".join(2 * each for each in digits) if len(digits) == 3 else digits
    red, green, blue, *rest = (int(digits[i : i + 2], 16) / 255 for i in range(0, len(digits), 2))
    return red, green, blue, opacity * (rest[0] if rest else 1.0)
