"""A plan shown: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from assay.engine.explain import Explanation

SHOWN = 12
"""Passes in the table; of more, the first and the last are shown."""

Rows = list[tuple[str, ...]]


def text_of(plan: Explanation) -> str:
    """Tables for a terminal."""
    title, header, rows = _table(plan)
    table = Table(title=title)
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number == 0 or name in ("input", "edits") else "right")
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_row(*rows[-1], style="bold")
    console = Console(width=110)
    with console.capture() as captured:
        console.print(table)
        for line in _lines(plan):
            console.print(line, highlight=False)
    return captured.get()


def html_of(plan: Explanation) -> str:
    """The same as HTML."""
    title, header, rows = _table(plan)
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    lines = "<br>".join(escape(line) for line in _lines(plan))
    return f"<table><caption>{escape(title)}</caption><tr>{cells}</tr>{body}</table><p>{lines}</p>"


def _table(plan: Explanation) -> tuple[str, tuple[str, ...], Rows]:
    """Title, header, and rows, the last of them the totals."""
    shape = " × ".join(f"{n} {name}" for name, n in plan.axes.items()) or "no sweep"
    title = f"{plan.engine} engine: {shape}; {plan.groups} group(s) of examples of equal length"
    if plan.engine == "scheduled":
        names = ("pass", "variants", "rows", "layers", "positions", "token-layers", "GFLOP", "seconds")
        return title, names, _scheduled(plan)
    header = ("run", "input", "variants", "passes", "rows", "token-layers", "edits")
    rows: Rows = [
        (r.run, r.input, *(f"{n:,}" for n in (r.variants, r.passes, r.rows, r.token_layers)), r.edits)
        for r in plan.runs
    ]
    total = sum(run.rows for run in plan.runs)
    return title, header, [*rows, ("total", "", "", f"{plan.passes:,}", f"{total:,}", f"{plan.token_layers:,}", "")]


def _scheduled(plan: Explanation) -> Rows:
    rows: Rows = [
        (
            p.run,
            f"{p.variants:,}",
            f"{p.rows:,}",
            f"{p.layers[0]}-{p.layers[1] - 1}",
            f"{p.positions[0]}-{p.positions[1] - 1}",
            f"{p.token_layers:,}",
            f"{p.work.flops / 1e9:,.1f}",
            f"{p.work.seconds:.2f}",
        )
        for p in plan.schedule
    ]
    if len(rows) > SHOWN:
        left = len(rows) - SHOWN
        rows = [*rows[: SHOWN - 2], (f"… {left} more", *[""] * 7), *rows[-2:]]
    work = plan.work
    total = (f"{plan.passes:,} passes", "", "", "", "", f"{plan.token_layers:,}")
    return [*rows, (*total, f"{work.flops / 1e9:,.1f}", f"{work.seconds:.2f}")]


def _lines(plan: Explanation) -> list[str]:
    """What is said below the table."""
    memory = f"memory beside the model: about {plan.work.bytes / 2**20:,.0f} MiB"
    if plan.engine == "naive":
        why = [f"not scheduled: {plan.refused}"] if plan.refused else []
        less = [f"whole passes: {plan.naive.flops / 1e9:,.1f} GFLOP"] if plan.work.flops < plan.naive.flops else []
        work = f"{plan.work.flops / 1e9:,.1f} GFLOP, about {plan.work.seconds:.1f} s here; {memory}"
        return [*why, work, *less, *(f"{name}: {said}" for name, said in plan.optimisations.items())]
    naive = sum(run.passes for run in plan.runs)
    times = plan.naive.flops / plan.work.flops if plan.work.flops else 1.0
    return [
        f"naive: {naive:,} passes, {plan.naive_token_layers:,} token-layers, {plan.naive.flops / 1e9:,.1f} GFLOP, about "
        f"{plan.naive.seconds:.1f} s here: {times:.1f} times the operations; {memory}",
        *(f"{name}: {said}" for name, said in plan.optimisations.items()),
    ]
