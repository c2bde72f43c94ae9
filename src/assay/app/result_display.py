"""What a person sees of a result in a terminal: a bar while it is made, then a line for each variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from assay.core.result import Result

FEW = 1000
"""At most so many numbers of a variable are written as JSON; the file has all."""


@contextmanager
def bar(*, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, if that is a terminal; what it gives is told how far the work has come."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("variants"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task("variants", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def summary(result: Result) -> dict[str, Any]:
    """The result as plain data: its variables, where it comes from and what it cost."""
    return {
        "variables": {name: _variable(result[name]) for name in result.names},
        "provenance": result.provenance.model_dump(mode="json"),
        "cost": result.cost.model_dump(mode="json"),
    }


def _variable(array: xr.DataArray) -> dict[str, Any]:
    values = _finite(array)
    data: dict[str, Any] = {"dims": list(map(str, array.dims)), "shape": list(array.shape)}
    data["coords"] = {str(name): coord.values.tolist() for name, coord in array.coords.items()}
    if values.size <= FEW:
        data["values"] = _json(values.tolist())
    return data | {name: _place(array, at) for name, at in _extremes(array).items()}


def _finite(array: xr.DataArray) -> np.ndarray[Any, Any]:
    return np.where(np.isfinite(array.values), array.values, np.nan)


def _json(value: Any) -> Any:
    """NaN, where shorter prompts have no position, has no JSON form."""
    if isinstance(value, list):
        return [_json(item) for item in value]
    return None if value != value else value


def _extremes(array: xr.DataArray) -> dict[str, tuple[int, ...]]:
    """Where the lowest and the highest value are; empty for a single number or none at all."""
    values = _finite(array)
    if array.size < 2 or np.isnan(values).all():
        return {}
    found = {"lowest": np.nanargmin(values), "highest": np.nanargmax(values)}
    return {name: tuple(map(int, np.unravel_index(int(at), array.shape))) for name, at in found.items()}


def _place(array: xr.DataArray, at: tuple[int, ...]) -> dict[str, Any]:
    where = {
        str(dim): array.coords[dim].values[i].item() if dim in array.coords else i
        for dim, i in zip(array.dims, at, strict=True)
    }
    return {"value": float(array.values[at]), "at": where}


def show(result: Result, saved: Path | None) -> None:
    """Print a result for people."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", "axes", "value", "lowest", "highest"):
        table.add_column(Text(title), justify="right" if title == "value" else "left")
    for name in result.names:
        table.add_row(*map(Text, _line(name, result[name])))
    console.print(table)
    for line in _about(result, saved):
        console.print(Text(line, style="dim"))


def _line(name: str, array: xr.DataArray) -> tuple[str, str, str, str, str]:
    axes = " × ".join(f"{dim} {size}" for dim, size in array.sizes.items())
    places = {which: _place(array, at) for which, at in _extremes(array).items()}
    shown = [f"{p['value']:.4g} at {', '.join(f'{dim} {at}' for dim, at in p['at'].items())}" for p in places.values()]
    number = f"{float(array.values.reshape(-1)[0]):.4g}" if array.size == 1 else _mean(array)
    return (name, axes, number, *(shown or ["", ""]))  # type: ignore[return-value]


def _mean(array: xr.DataArray) -> str:
    """The mean over examples, where they are the only axis: what a list of prompts is measured for."""
    values = _finite(array)
    return "" if array.dims != ("example",) or np.isnan(values).all() else f"mean {float(np.nanmean(values)):.4g}"


def _about(result: Result, saved: Path | None) -> list[str]:
    cost = result.cost
    lines = [
        f"{result.provenance.model_source}, {cost.passes:,} passes, {cost.token_layers:,} token-layers, {cost.seconds:.2f} s",
        *result.provenance.facts,
    ]
    return lines if saved is None else [*lines, f"saved in {saved}"]
