"""What a person sees of a comparison in a terminal: hypotheses by runs, then differences, then seeds."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.app.study_display import STYLES
from assay.studies.compare import Comparison


def show_comparison(found: Comparison) -> None:
    """Which claims hold where."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=160)
    console.print(_runs(found))
    console.print()
    console.print(_claims(found))
    console.print()
    console.print(_differences(found))
    for each in found.seeds:
        verdict = Text(each.outcome, style=STYLES[each.outcome])
        console.print(Text(f"{each.hypothesis} over {each.effect.seeds} seeds: {each.effect}: ") + verdict)


def _runs(found: Comparison) -> Table:
    table = Table("run", "model", "weights", "seeds", "plan", box=None, padding=(0, 2, 0, 0))
    for run in found.runs:
        seeds = ", ".join(map(str, run.seeds))
        table.add_row(Text(run.name), Text(run.model), _short(run.fingerprint), seeds, _short(run.contents.plan.hash))
    return table


def _claims(found: Comparison) -> Table:
    table = Table("hypothesis", "predicted", box=None, padding=(0, 2, 0, 0))
    for run in found.runs:
        table.add_column(Text(run.name))
    table.add_column("holds")
    for claim in found.claims:
        name = claim.hypothesis + (" (added later)" if claim.exploratory else "")
        numbers = [Text("not asked") if cell is None else Text(cell.number.short) for cell in claim.cells]
        verdicts = [
            Text("") if cell is None else Text(cell.outcome, style=STYLES[cell.outcome]) for cell in claim.cells
        ]
        table.add_row(Text(name), claim.prediction, *numbers, claim.where)
        table.add_row("", "", *verdicts, "")
    return table


def _differences(found: Comparison) -> Table:
    head = f"difference from {found.runs[0].name}"
    table = Table("hypothesis", "run", head, "", "equivalence", box=None, padding=(0, 2, 0, 0))
    for each in found.differences:
        if each.estimate is None:
            table.add_row(each.hypothesis, Text(each.second), "–", Text(each.why_not), "")
            continue
        how = "paired" if each.paired else each.why_not or "not paired"
        same = "" if each.equivalent is None else str(each.equivalent)
        table.add_row(each.hypothesis, Text(each.second), Text(each.estimate.text_of_interval()), how, Text(same))
    return table


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
