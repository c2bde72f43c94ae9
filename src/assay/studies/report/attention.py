"""Attention patterns on one prompt: a matrix of query by key for a chosen head, and the prompt shaded by one query.

The first head is drawn here; the page's script recolours the same cells when another is chosen. Rows are queries: what a
token looks at is read along its row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from assay.core.svg import label, picture, shade, tag
from assay.studies.report.drawn import Drawn

TOP, RIGHT = 96.0, 10.0
_MOST_TOKENS = 96


def patterns(data: xr.Dataset) -> list[Drawn]:
    """The figure of a result with whole patterns; nothing for other results."""
    if "pattern" not in data or set(data["pattern"].dims) != {"head", "query", "key"}:
        return []
    array = data["pattern"].transpose("head", "query", "key")
    tokens = [_word(str(each)) for each in array["query"].values]
    cut = len(tokens) - _MOST_TOKENS if len(tokens) > _MOST_TOKENS else 0
    values = array.values[:, cut:, cut:]
    tokens = tokens[cut:]
    caption = (
        f"The whole attention pattern of each head on example {int(data.attrs.get('shown', 0))} of the data set; a row is "
        "a token that looks, a column what it looks at. Attention shows where a head reads, not what it does with it."
    )
    if cut:
        caption += f" The first {cut} tokens are not drawn."
    heads = [str(head) for head in array["head"].values]
    return [Drawn(_matrix(values[0], tokens), caption, _data(heads, tokens, values), True, "Patterns", "attention")]


def _matrix(values: np.ndarray, tokens: list[str]) -> Any:
    side = max(9.0, min(22.0, 520 / len(tokens)))
    left = 14 + 6.6 * max(map(len, tokens))
    cells = [
        tag("rect", x=left + j * side, y=TOP + i * side, width=side - 0.6, height=side - 0.6,
            class_=shade(float(values[i, j]), 1.0, signed=False))
        for i in range(len(tokens))
        for j in range(i + 1)
    ]  # fmt: skip
    every = 1 if side >= 11 else 2
    names = [
        label(left - 6, TOP + (i + 0.5) * side + 4, token, anchor="end")
        for i, token in enumerate(tokens)
        if i % every == 0
    ]
    for j, token in enumerate(tokens[::every]):
        x = left + (j * every + 0.5) * side + 4
        names.append(tag("text", token, x=x, y=TOP - 6, transform=f"rotate(-60 {x:.1f} {TOP - 6:.0f})"))
    mark = tag("rect", class_="mark", width=side - 0.6, height=side - 0.6, x=-999, y=-999)
    across = left + side * len(tokens) + RIGHT + 40
    place = {"data_x": left, "data_y": TOP, "data_s": side}
    return picture(*cells, *names, mark, width=across, height=TOP + side * len(tokens) + 8, tabindex=0, class_="grid",
                   label="Attention pattern: rows are tokens that look, columns what they look at.", **place)  # fmt: skip


def _data(heads: list[str], tokens: list[str], values: np.ndarray) -> dict[str, Any]:
    lower = [[[round(float(v), 4) for v in row[: i + 1]] for i, row in enumerate(head)] for head in values]
    return {"heads": heads, "tokens": tokens, "pattern": lower}


def _word(name: str) -> str:
    """The token of a label such as `3| went`, with what can't be seen made visible."""
    word = name.split("|", 1)[-1]
    shown = word.replace("\n", "↵").replace("\t", "⇥").removeprefix(" ")
    return (shown[:11] + "…" if len(shown) > 12 else shown) or "␣"
