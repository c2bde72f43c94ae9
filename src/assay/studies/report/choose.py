"""Which figures a step's numbers get, by their shape: not by the method's name, so that other methods' are drawn too.

a picture of its own kind          circuits, recovery of circuits (`core.pictures`); see `results` for alignments, effects …
components that are heads          layers × heads                 (component named L3.H2)
other components                   bars by layer, one bar for each kind (attention, MLP)
layer × anything small             layers × places
one numeric axis                   a line with its interval
kept sets beside random ones       shares of the behaviour: a curve over sizes, or a row for each set
head × query × key                 attention patterns
    a number for each example          its mean for each wording
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from assay.core.errors import DataError
from assay.core.pictures import Picture, pictures_of
from assay.core.protocols import parse_head
from assay.studies.folder import StepResult
from assay.studies.report.attention import patterns
from assay.studies.report.axes import Series
from assay.studies.report.charts import bars, lines
from assay.studies.report.drawn import Drawn
from assay.studies.report.heatmap import Grid, heatmap
from assay.studies.report.kept import kept
from assay.studies.report.means import EXAMPLE, Means, means
from assay.studies.report.results import MAKERS
from assay.studies.report.wordings import wordings

INTERVAL = "95 % interval of the mean over {n} examples ({how})"
_OTHER = re.compile(r"^L(\d+)\.(?!H\d)(\w+)$")
_SHOWN_FIRST = ("share", "correct", "logit_diff", "score", "to_position")
_MOST_BARS = 40


def figures(result: StepResult) -> list[Drawn]:
    """The figures of a step, in reading order; none if its numbers are best read in a table."""
    data = result.data
    own = pictures_of(data)
    found = [_own(picture) for picture in own]
    if any(picture.whole for picture in own):
        return found
    told = [drawn for make in MAKERS for drawn in make(data)]
    if told:
        return [*found, *told, *wordings(data)]
    special: list[Callable[[xr.Dataset], list[Drawn]]] = [kept, patterns, wordings, _components]
    found += [drawn for make in special for drawn in make(data)]
    if "kept" in data or "score" in data:
        return found
    names = [name for name in _SHOWN_FIRST if name in data] or [str(name) for name in data.data_vars][:1]
    names = ["share"] if "share" in names else names
    return found + [drawn for name in names for drawn in _plain(data[name])]


def _own(picture: Picture) -> Drawn:
    """A picture that its kind of result draws itself: in its own colours, on paper in dark too."""
    svg = Markup(str(picture.svg).replace("<svg", '<svg class="own"', 1))
    return Drawn(svg, picture.caption, title=picture.title, wide=True)


def _components(data: xr.Dataset) -> list[Drawn]:
    """Scores of components: heads as a heatmap, everything else as bars."""
    if "score" not in data or "component" not in data["score"].dims:
        return []
    found, what = means(data["score"]), str(data.attrs.get("quantity", "score"))
    names = [str(name) for name in data["component"].values]
    return [*_heads(names, found, what), *_others(names, found, what)]


def _heads(names: list[str], found: Means, what: str) -> list[Drawn]:
    places = {name: place for name in names if (place := _place(name)) is not None}
    layers, heads = (sorted({place[i] for place in places.values()}) for i in (0, 1))
    if 2 * len(places) < len(layers) * len(heads) or len(places) < 12:
        return [_ranked(names, found, what)] if places else []
    values = np.full((len(layers), len(heads)), np.nan)
    half = None if found.high is None else values.copy()
    for i, name in enumerate(names):
        if name in places:
            at = layers.index(places[name][0]), heads.index(places[name][1])
            values[at] = found.value.values[i]
            if half is not None and found.high is not None:
                half[at] = found.high.values[i] - found.value.values[i]
    grid = Grid(tuple(map(str, layers)), tuple(map(str, heads)), values, half, "layer", "head", what)
    return [heatmap(grid, _caption(what, found), title="Heads")]


def _ranked(names: list[str], found: Means, what: str) -> Drawn:
    """A few components, the highest first."""
    pick: Any = np.argsort(-found.value.values, kind="stable")[:_MOST_BARS].tolist()
    one = _series("score", found, pick)
    return bars(
        [names[i] for i in pick], [one], _caption(what, found), titles=("component", "score"), title="Components"
    )


def _others(names: list[str], found: Means, what: str) -> list[Drawn]:
    kinds: dict[str, dict[int, int]] = {}
    for i, name in enumerate(names):
        if match := _OTHER.match(name):
            kinds.setdefault(match[2], {})[int(match[1])] = i
    layers = sorted({layer for places in kinds.values() for layer in places})
    if not layers:
        return []
    series = []
    for kind, places in kinds.items():
        one = _series({"attn": "attention", "mlp": "MLP"}.get(kind, kind), found, list(places.values()))
        xs = [float(layers.index(layer)) for layer in places]
        series.append(Series(one.name, xs, one.y, one.low, one.high))
    rest = [name for name in names if not _OTHER.match(name) and _place(name) is None]
    more = "".join(f" {name}: {found.value.values[names.index(name)]:.3g}." for name in rest[:6])
    title = "Attention layers and MLPs" if "attn" in kinds else "MLPs" if kinds.keys() == {"mlp"} else "Other parts"
    ticks = [str(layer) for layer in layers]
    return [bars(ticks, series, _caption(what, found) + more, titles=("layer", _axis(what)), title=title)]


def _series(name: str, found: Means, pick: list[int]) -> Series:
    low, high = (None if end is None else end.values[pick] for end in (found.low, found.high))
    return Series(name, [float(i) for i in range(len(pick))], found.value.values[pick], low, high)


def _plain(array: xr.DataArray) -> list[Drawn]:
    """A variable over one or two axes besides examples."""
    dims = [str(dim) for dim in array.dims if dim != EXAMPLE and array.sizes[dim] > 1]
    extra = [str(dim) for dim in array.dims if dim != EXAMPLE and array.sizes[dim] == 1]
    array = array.isel(dict.fromkeys(extra, 0))
    found, what = means(array), _words(str(array.name))
    if len(dims) == 2:
        return [_grid(found, what)]
    if len(dims) == 1 and array[dims[0]].dtype.kind in "iuf":
        return [_line(found, what, dims[0])]
    return []


def _grid(found: Means, what: str) -> Drawn:
    array = found.value
    down, across = map(str, array.dims)
    if "layer" in array.dims and down != "layer":
        down, across = across, down
        array = array.transpose(down, across)
    half = None if found.high is None else (found.high - found.value).transpose(down, across).values
    rows, columns = (tuple(str(label) for label in array[dim].values) for dim in (down, across))
    across = {"pos": "position"}.get(across, across)
    return heatmap(Grid(rows, columns, array.values, half, down, across, what), _caption(what, found))


def _line(found: Means, what: str, dim: str) -> Drawn:
    low, high = (None if end is None else end.values for end in (found.low, found.high))
    one = Series(what, found.value[dim].values.tolist(), found.value.values, low, high)
    return lines([one], _caption(what, found), (_words(dim), what), title=what)


def _place(name: str) -> tuple[int, int] | None:
    try:
        return parse_head(name)
    except DataError:
        return None


def _caption(what: str, found: Means) -> str:
    said = what[:1].upper() + what[1:] + "."
    if found.low is None:
        return said
    return f"{said} Intervals: {INTERVAL.format(n=found.n, how=found.how)}."


def _axis(what: str) -> str:
    """A quantity short enough for an axis; the caption has all of it."""
    short = re.split(r" restored in | lost in |: ", what)[0]
    return short if len(short) <= 38 else short[:38].rsplit(" ", 1)[0]


def _words(name: str) -> str:
    known = {
        "share": "share of the logit difference moved",
        "logit_diff": "logit difference",
        "correct": "share of answers right",
        "to_position": "attention from the last token",
    }
    return known.get(name, name.replace("_", " "))
