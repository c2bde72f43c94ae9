"""Pictures of stored circuit results, from their numbers alone: scored edges as a circuit, recovery as a curve."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from assay.circuits.drawing.curve import curve_picture
from assay.circuits.drawing.wiring import edges_picture
from assay.circuits.graph import ARROW
from assay.core.pictures import Picture, pictures

MOST = 60
"""Edges that are drawn of a whole ranking: more can't be followed with the eye."""


@pictures
def scored_edges(data: xr.Dataset) -> list[Picture]:
    """The edges with the largest scores, for Scores whose components are edges."""
    if "score" not in data or data["score"].dims[:1] != ("component",):
        return []
    names = [str(name) for name in data["component"].values]
    if not names or not all(ARROW in name for name in names):
        return []
    values = data["score"].mean("example").values if "example" in data["score"].dims else data["score"].values
    order = np.argsort(-np.abs(values), kind="stable")[:MOST].tolist()
    edges = [(names[i], float(values[i])) for i in order if values[i] != 0]
    if not edges:
        return []
    what = str(data.attrs.get("quantity", "score"))
    said = f"{what[:1].upper()}{what[1:]}: the {len(edges)} largest of {len(names):,} edges."
    caption = f"{said} Width is size; dashed lines are negative."
    return [Picture(edges_picture(edges, of=len(names), heads_of=_heads_of(names)), caption, "Edges", whole=True)]


def _heads_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Which heads read a receiver, told from the names of all edges: shared keys and values are L3.KV0.k."""
    heads = [int(number) for name in names for number in re.findall(r"\.H(\d+)", name)]
    shared = [int(number) for name in names for number in re.findall(r"\.KV(\d+)", name)]
    group = (max(heads, default=0) + 1) // (max(shared, default=0) + 1)

    def heads_of(receiver: str) -> tuple[str, ...]:
        owner = receiver.removesuffix(receiver[-2:]) if receiver.endswith((".q", ".k", ".v")) else receiver
        layer, _, rest = owner.partition(".KV")
        if not rest:
            return (owner,)
        return tuple(f"{layer}.H{head}" for head in range(int(rest) * group, (int(rest) + 1) * group))

    return heads_of


@pictures
def recovery(data: xr.Dataset) -> list[Picture]:
    """What circuits of growing size recover, with intervals and random circuits."""
    needed = {"recovered", "edges"} <= {*map(str, data.data_vars), *map(str, data.coords)}
    if not needed or set(data["recovered"].dims) != {"ranking", "fraction", "bound"}:
        return []
    caption = (
        "Share of the metric that circuits of growing size recover: 1 is the whole model, 0 the empty circuit. Bands: "
        "bootstrap intervals over examples; grey: from the lowest to the highest random circuit."
    )
    return [Picture(curve_picture(data), caption, "What circuits recover", whole=True)]
