"""What a person sees of a circuit in a terminal: what it recovers, beside random ones, and the areas of its curve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.app.result_display import summary
from assay.core.caveats import caveats_in
from assay.core.files import write_text
from assay.core.protocols import Scores
from assay.core.registry import Method
from assay.core.result import Result


def scoring(method: Method) -> bool:
    """Whether a method gives scores from a model and prompts alone."""
    return method.card.gives is Scores and not method.takes


def written(file: Path | None, drawing: Callable[[], str]) -> str | None:
    """Write a drawing, if one is wanted; gives the file's name."""
    if file is None:
        return None
    write_text(file, drawing() + "\n")
    return str(file)


def show_found(circuit: Any, saved: str, drawn: str | None, *, as_json: bool) -> None:
    """Print what was found, and how."""
    if as_json:
        known = {"edges": circuit.edge_count, "nodes": list(circuit.nodes), "facts": list(circuit.facts)}
        print(json.dumps({**known, "saved": saved, "svg": drawn}, indent=2, ensure_ascii=False))
        return
    print(f"{circuit.edge_count:,} edges, {len(circuit.nodes)} nodes", *circuit.facts, f"saved in {saved}", sep="\n")


def show(result: Result, curves: Result | None, *, saved: str | None, drawn: str | None, as_json: bool) -> None:
    """Print what was measured of a circuit, and of circuits of other sizes."""
    if as_json:
        numbers = {"circuit": summary(result), "curve": summary(curves) if curves else None}
        print(json.dumps({**numbers, "saved": saved, "svg": drawn}, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(_circuits(result))
    if curves is not None:
        console.print(_areas(curves))
    facts = [*result.provenance.facts, *(curves.provenance.facts if curves else ())]
    for line in [*dict.fromkeys(facts), *([f"saved in {saved}"] if saved else [])]:
        console.print(Text(line, style="bold yellow" if caveats_in([line]) else "dim"))


def _circuits(result: Result) -> Table:
    table = _table("", "edges", "recovered", "mean of ratios", "right", "KL, nats")
    for i, name in enumerate(map(str, result["recovered"]["circuit"].values)):
        here = result.data.isel(circuit=i)
        cells = (
            name,
            f"{int(here['edges']):,}",
            _interval(here["recovered"].values, 2),
            f"{float(here['mean_of_ratios']):z.2f}",
            f"{float(here['correct'].mean()):.0%}",
            f"{float(here['kl'].mean()):.3g}",
        )
        table.add_row(*map(Text, cells))
    return table


def _areas(curves: Result) -> Table:
    summary = curves["summary"]
    quantities = [str(name) for name in summary["quantity"].values]
    table = _table("ranking", *(name.replace("_", " ") for name in quantities))
    for i, name in enumerate(map(str, summary["ranking"].values)):
        rows = summary.values[i]
        cells = [_interval(row, 0 if q.startswith("size") else 2) for q, row in zip(quantities, rows, strict=True)]
        table.add_row(*map(Text, (name, *cells)))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(Text(title))
    return table


def _interval(values: Any, digits: int) -> str:
    value, low, high = (f"{float(each):z,.{digits}f}" for each in values)
    return f"{value} [{low}, {high}]"
