"""A circuit drawn: layers as columns, the width of an edge by the size of its score, its colour by the sign.

Blue helps the behaviour and orange works against it, which colour-blind readers tell apart; against-edges are dashed too, so
that it holds in grey. A head's left side has three places for what it reads: q at the top, k in the middle, v at the bottom.
Hovering shows an edge's name and score. Made for about 20 to 500 edges; of more, the strongest are drawn, and it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from assay.circuits.circuit import Circuit
from assay.circuits.drawing.layout import HEIGHT, MOST_BOW, STEP_X, WIDTH, Layout, Link, layout, links
from assay.core.svg import label, number, picture, tag

HELPS, AGAINST, PLAIN = "#0f62ad", "#d95f02", "#5d6673"
INK, PAPER, BOX = "#1c2128", "#ffffff", "#eef1f5"
THIN, THICK = 0.7, 6.0
FONT = "font-family:sans-serif;font-size:11px"
HALO = f"font-size:10px;paint-order:stroke;stroke:{PAPER};stroke-width:3px"
PORTS = {"q": -0.30, "k": 0.0, "v": 0.30, "": 0.0}
"""Where on a box's left side an edge arrives, as a share of its height."""


def circuit_picture(circuit: Circuit, *, most: int = 500, title: str | None = None) -> Markup:
    """The picture as SVG text, of the `most` strongest edges."""
    table = circuit.score_table()
    pairs = [(int(s), int(r)) for s, r in np.argwhere(circuit.mask)]
    scored = [(pair, None if np.isnan(table[pair]) else float(table[pair])) for pair in pairs]
    scored.sort(key=lambda item: -abs(item[1] or 0.0))
    graph = circuit.graph
    named = [(f"{graph.senders[s]}->{graph.receivers[r]}", score) for (s, r), score in scored[:most]]
    return edges_picture(named, of=len(pairs), heads_of=graph.heads_of, title=title)


def edges_picture(
    edges: Sequence[tuple[str, float | None]],
    *,
    of: int,
    heads_of: Callable[[str], Sequence[str]],
    title: str | None = None,
) -> Markup:
    """A picture of edges by name with their scores, the strongest first, out of `of`; `heads_of` says who shares a key."""
    drawn = links(heads_of, edges)
    places = layout(drawn)
    largest = max((abs(link.score) for link in drawn if link.score is not None), default=0.0)
    shown = f"{len(edges)} strongest of {of} edges" if len(edges) < of else f"{of} edges"
    return picture(
        tag("rect", width=places.width, height=places.height, fill=PAPER, rx=6),
        label(12, 22, f"{title}: {shown}" if title else shown, anchor="start", class_=None),
        *(_line(link, places, largest) for link in reversed(drawn)),  # the strongest last, on top
        *_titles(places),
        *_boxes(places, drawn),
        *_legend(places, largest),
        width=places.width, height=places.height, label=f"Circuit of {shown}", style=f"{FONT};fill:{INK}",
        xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def _titles(places: Layout) -> list[Markup]:
    return [tag("text", text, x=x - WIDTH / 2, y=44.0, fill=PLAIN, style=HALO) for x, text in places.titles]


def _line(link: Link, places: Layout, largest: float) -> Markup:
    (x1, y1), (x2, y2) = places.places[link.source], places.places[link.target]
    start, stop = x1 + WIDTH / 2, x2 - WIDTH / 2
    end = y2 + PORTS[link.slot] * HEIGHT
    reach = max(24.0, (stop - start) * 0.42)
    bow = _bow(link, places)
    path = f"M{start:.1f},{y1:.1f} C{start + reach:.1f},{y1 + bow:.1f} {stop - reach:.1f},{end + bow:.1f} {stop:.1f},{end:.1f}"
    against = link.score is not None and link.score < 0
    share = _share(link.score, largest)
    said = link.name if link.score is None else f"{link.name}  {number(link.score)}"
    return tag(
        "path", tag("title", said), d=path, fill="none", stroke=_colour(link.score), stroke_linecap="round",
        stroke_width=THIN + (THICK - THIN) * share, stroke_opacity=0.28 + 0.62 * share,
        stroke_dasharray="6 4" if against else None,
    )  # fmt: skip


def _bow(link: Link, places: Layout) -> float:
    """How far an edge swings out: the more columns it passes, the more, so that it goes around what stands in its way."""
    (x1, y1), (x2, y2) = places.places[link.source], places.places[link.target]
    passed = (x2 - x1) / STEP_X - 1.3
    if passed <= 0:
        return 0.0
    side = (y1 + y2) / 2 - places.middle
    upwards = side < -1 or (abs(side) <= 1 and link.slot in ("", "q"))
    return min(MOST_BOW, 16.0 + 11.0 * passed) * (-1.0 if upwards else 1.0)


def _share(score: float | None, largest: float) -> float:
    """How wide and dark, from 0 to 1: the root, so that weak edges can still be seen beside strong ones."""
    return 0.25 if score is None or not largest else (abs(score) / largest) ** 0.5


def _colour(score: float | None) -> str:
    if score is None or score == 0:
        return PLAIN
    return HELPS if score > 0 else AGAINST


def _boxes(places: Layout, drawn: Sequence[Link]) -> list[Markup]:
    slots: dict[str, set[str]] = {}
    for link in drawn:
        slots.setdefault(link.target, set()).add(link.slot)
    found = []
    for name, (x, y) in places.places.items():
        left = x - WIDTH / 2
        box = tag(
            "rect", tag("title", name), x=left, y=y - HEIGHT / 2, width=WIDTH, height=HEIGHT, rx=4 if ".H" in name else 11,
            fill=BOX, stroke=INK, stroke_width=0.8,
        )  # fmt: skip
        text = tag("text", _short(name), x=x + (3.0 if ".H" in name else 0.0), y=y + 4.0, text_anchor="middle")
        marks = [
            tag("text", slot, x=left + 3.0, y=y + PORTS[slot] * HEIGHT + 2.5, style="font-size:7px", fill=PLAIN)
            for slot in sorted(slots.get(name, ()))
            if slot
        ]
        found += [box, text, *marks]
    return found


def _short(name: str) -> str:
    """`L3.H2` → 3.2, `L3.mlp` → MLP 3, `L3.attn` → attn 3, `L3.block` → block 3."""
    if name in ("embed", "logits"):
        return name
    layer, _, rest = name.partition(".")
    if rest in ("mlp", "attn", "block"):
        return f"{'MLP' if rest == 'mlp' else rest} {layer[1:]}"
    return f"{layer[1:]}.{rest[1:]}"


def _legend(places: Layout, largest: float) -> list[Markup]:
    y = places.height - 22.0
    if not largest:
        return [label(12, y + 4, "no scores: every edge is drawn alike", anchor="start")]
    entries = [(HELPS, None, "helps"), (AGAINST, "6 4", "works against")]
    found, x = [], 12.0
    for colour, dashes, text in entries:
        found += [
            tag("line", x1=x, y1=y, x2=x + 26, y2=y, stroke=colour, stroke_width=3.0, stroke_dasharray=dashes),
            label(x + 32, y + 4, text, anchor="start"),
        ]
        x += 46 + 7.0 * len(text)
    for share in (1.0, 0.1):
        width = THIN + (THICK - THIN) * share**0.5
        found += [
            tag("line", x1=x, y1=y, x2=x + 26, y2=y, stroke=PLAIN, stroke_width=width),
            label(x + 32, y + 4, number(largest * share), anchor="start"),
        ]
        x += 84
    return found
