"""What a person sees of a study in a terminal: a bar for each step while it runs, a short verdict when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from assay.studies.conclusion import Conclusion, Judgement
from assay.studies.estimate import Estimated
from assay.studies.lint import Finding
from assay.studies.plan import Plan

STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}


class Bars:
    """Progress bars, one for each step, on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.fields[state]:<10}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=quiet,
        )
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:  # stopping what was not started prints an empty line
            self.progress.stop()
        if isinstance(error, KeyboardInterrupt):
            self.console.print("Stopped. Finished steps are kept: the same command goes on from here.")

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """Say what is going to be done."""
        self.console.print(f"plan {plan.hash.removeprefix('sha256:')[:12]} frozen: {len(steps)} steps")

    def estimated(self, steps: Mapping[str, Estimated]) -> None:
        """Say how long it will take at least, as far as that can be told beforehand."""
        known = [each.seconds for each in steps.values() if each.seconds is not None]
        if known and sum(known) >= 1:
            self.console.print(f"{len(known)} of them will take at least {_duration(sum(known))}")

    def started(self, step: str) -> None:
        """A bar for the step."""
        self.bars[step] = self.progress.add_task(step, total=None, state="")

    def advanced(self, step: str, done: int, total: int) -> None:
        """Move the step's bar."""
        self.progress.update(self.bars[step], completed=done, total=total, state=f"{done}/{total}")

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """Fill the step's bar; without a terminal, a line."""
        state = "found done" if reused else "done"
        self.progress.update(self.bars[step], completed=1, total=1, state=state)
        self.progress.stop_task(self.bars[step])
        if not self.console.is_terminal:
            self.console.print(f"{step}: {state}" + ("" if reused else f" in {seconds:.1f} s"))


def show_conclusion(conclusion: Conclusion, folder: Path, *, title: str, holds: str) -> None:
    """The short verdict; `holds` says what its intervals are worth together."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print()
    console.print(Text(title, style="bold"))
    console.print(_table(conclusion.judgements))
    console.print(f"{len(conclusion.limitations)} limitations, {conclusion.seconds:.0f} s of steps. {holds}")
    report = folder / "report.html"
    console.print(f"numbers  {folder / 'results'}")
    if report.exists():
        console.print(f"report   {report}")


def show_findings(findings: tuple[Finding, ...], path: Path) -> None:
    """What was found in a study file, each with what to do."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    if not findings:
        console.print(f"{path}: nothing to say against it.")
        return
    for each in findings:
        style = "red" if each.level == "error" else "yellow"
        console.print(Text.assemble((each.level, style), f"  {each.where}"))
        console.print(Padding(Text(f"{each.problem} {each.advice}"), (0, 0, 1, 4)))
    errors = sum(each.level == "error" for each in findings)
    console.print(f"{path}: {errors} errors, {len(findings) - errors} warnings")


def _table(judgements: tuple[Judgement, ...]) -> Table:
    """A row for each hypothesis, and below it one for each number that stands beside it."""
    table = Table("hypothesis", "predicted", "found", "", "corrected p", box=None, padding=(0, 2, 0, 0))
    for each in judgements:
        name = each.id + (" (added later)" if each.exploratory else "")
        verdict = Text(each.outcome, style=STYLES[each.outcome])
        table.add_row(
            name,
            each.prediction,
            Text(each.number.short),
            verdict,
            each.p_text.removeprefix("p ").removeprefix("= ") or "–",
        )
        for other in each.baselines:
            table.add_row(Text(f"  {other.name}", style="dim"), "", Text(other.number.short, style="dim"), "")
        for choice in each.otherwise:
            found = Text(choice.number.short, style="dim")
            table.add_row(Text(f"  under {choice.name}", style="dim"), "", found, Text(choice.outcome, style="dim"))
    return table


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
