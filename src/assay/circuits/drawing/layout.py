"""Where the nodes of a circuit are drawn: a column for each layer, MLPs half a step to the right of their heads.

Only nodes with an edge are drawn, and only layers that have some. Within a column nodes are ordered by the mean height of
their neighbours, weighted by the edges' strength, again and again from both sides, which takes out most crossings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.circuits.graph import ARROW

SWEEPS = 6
WIDTH, HEIGHT = 46.0, 22.0
"""A node's box."""
STEP_X, STEP_Y = 104.0, 30.0
MOST_BOW = 84.0
"""How far at most an edge's handle is moved to go around what lies between; the line goes three quarters of it."""
MARGIN_X, MARGIN_TOP, MARGIN_BOTTOM = 46.0, 58.0, 52.0


@dataclass(frozen=True)
class Link:
    """A drawn edge: from a node to a node, which slot it is read by, and its score (None: it has none)."""

    name: str
    source: str
    target: str
    slot: str
    score: float | None

    @property
    def strength(self) -> float:
        """How strong it counts for the layout."""
        return 1.0 if self.score is None else abs(self.score) + 1e-12


@dataclass(frozen=True)
class Layout:
    """Centres of the nodes, titles of the columns with their places, and the size of the picture."""

    places: Mapping[str, tuple[float, float]]
    titles: Sequence[tuple[float, str]]
    middle: float
    """The height around which columns are centred."""
    width: float
    height: float


def links(heads_of: Callable[[str], Sequence[str]], edges: Iterable[tuple[str, float | None]]) -> list[Link]:
    """The edges as lines between nodes; one into a shared key or value leads to each head that shares it (`heads_of`)."""
    found = []
    for name, score in edges:
        source, _, receiver = name.partition(ARROW)
        owners = ("logits",) if receiver == "logits" else heads_of(receiver)
        slot = receiver.rpartition(".")[2] if receiver.endswith((".q", ".k", ".v")) else ""
        found += [Link(name, source, owner, slot, score) for owner in owners]
    return found


def layout(drawn: Sequence[Link]) -> Layout:
    """Places for all nodes of these edges."""
    names = {"embed", "logits"} | {link.source for link in drawn} | {link.target for link in drawn}
    columns: dict[tuple[int, int], list[str]] = {}
    for name in sorted(names, key=_key):
        columns.setdefault(_key(name)[:2], []).append(name)
    ordered = _untangled([columns[key] for key in sorted(columns)], drawn)
    rows = max(map(len, ordered))
    room = max(rows * STEP_Y, 1.5 * MOST_BOW + STEP_Y)  # edges swing out of a flat circuit
    middle = MARGIN_TOP + room / 2
    places: dict[str, tuple[float, float]] = {}
    titles: list[tuple[float, str]] = []
    x, before = MARGIN_X, None
    for key, column in zip(sorted(columns), ordered, strict=True):
        if before is not None:
            x += STEP_X * (0.72 if key[0] == before[0] else 1.0)
        top = middle - (len(column) - 1) * STEP_Y / 2
        places |= {name: (x, top + i * STEP_Y) for i, name in enumerate(column)}
        if column != ["embed"] and column != ["logits"] and (before is None or key[0] != before[0]):
            titles.append((x, f"layer {key[0]}"))
        before = key
    return Layout(places, titles, middle, x + MARGIN_X, MARGIN_TOP + room + MARGIN_BOTTOM)


def _key(name: str) -> tuple[int, int, int]:
    """Column (layer, then attention before MLP), and the place in it to begin with."""
    if name in ("embed", "logits"):
        return (-1 if name == "embed" else 1_000_000, 0, 0)
    layer, _, rest = name.partition(".")
    return int(layer[1:]), int(rest == "mlp"), 0 if rest in ("mlp", "attn", "block") else int(rest[1:])


def _untangled(columns: list[list[str]], drawn: Sequence[Link]) -> list[list[str]]:
    near: dict[str, list[tuple[str, float]]] = {}
    for link in drawn:
        near.setdefault(link.source, []).append((link.target, link.strength))
        near.setdefault(link.target, []).append((link.source, link.strength))
    height = {name: float(i - (len(column) - 1) / 2) for column in columns for i, name in enumerate(column)}
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = {name: _mean(near.get(name, []), height, height[name]) for name in column}
            column.sort(key=lambda name: (wanted[name], _key(name)))
            height |= {name: float(i - (len(column) - 1) / 2) for i, name in enumerate(column)}
    return columns


def _mean(neighbours: Sequence[tuple[str, float]], height: Mapping[str, float], own: float) -> float:
    total = sum(weight for _, weight in neighbours)
    return sum(height[name] * weight for name, weight in neighbours) / total if total else own
