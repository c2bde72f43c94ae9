"""Where along a prompt: positions as people write them, and how long the site's vectors are there."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from assay.experiments import metric
from assay.experiments.metrics import Metric
from assay.experiments.positions import Pos, Slice

_POSITIONS: TypeAdapter[Pos] = TypeAdapter(Pos)
AT = "positions at which it is changed: an index, a name such as end, a list, or {start: 1}"


def as_positions(at: Any) -> Pos:
    """Positions from an index, a name, a list, a slice, or a mapping with a slice's bounds; None is all."""
    return _POSITIONS.validate_python(at)


def beside_the_sink(at: Pos) -> Pos:
    """The same without the first token, where it is among all or in a slice from the beginning."""
    if at is None:
        return Slice(start=1)
    return at.model_copy(update={"start": 1}) if isinstance(at, Slice) and at.start in (None, 0) else at


def norms(sites: list[str], run: str, at: Pos) -> list[Metric]:
    """Metrics `unedited norm <site>`: the mean length of the site's vectors in a run, the first token left out."""
    read = beside_the_sink(at)
    return [
        metric.norm(site, name=f"unedited norm {site}", run=run, pos=read, reduce="mean")
        for site in dict.fromkeys(sites)
    ]
