"""What a person sees of a check: a table of findings with what to do, and the links to look over."""

from __future__ import annotations

from collections import Counter

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.studies.anonymity.finding import Report
from assay.studies.paper.report import PaperReport

_STYLES = {"certain": "bold red", "likely": "yellow", "possible": "dim"}
_MOST_LINKS = 20


def show_report(report: Report) -> None:
    """Print the findings, the certain ones first in each file."""
    table = Table("where", "what", "found", "certainty", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:3]:
        column.overflow = "fold"
    for each in report.findings:
        where = f"{each.file}: {each.place}" if each.place else each.file
        word = each.certainty.word
        table.add_row(Text(where), Text(each.kind), Text(each.text), Text(word, style=_STYLES[word]))
    console = _console()
    if report.findings:
        console.print(table)
        console.print()
        for advice, kinds in _advice(report).items():
            console.print(Text(f"{', '.join(kinds)}: {advice}"))
        console.print()
    if report.links:
        shown = report.links[:_MOST_LINKS]
        console.print(
            Text(
                f"Not counted: {_counted(len(report.links), 'link')} to accounts that are not known. Is none of them yours?"
            )
        )
        for link in shown:
            console.print(Text(f"  {link}", style="dim"))
        if len(report.links) > len(shown):
            console.print(Text(f"  and {len(report.links) - len(shown)} more (--json lists them all)", style="dim"))
    if report.left_out:
        console.print(
            Text(
                f"Left out, as tools make them (--everything looks there): {', '.join(report.left_out[:6])}",
                style="dim",
            )
        )
    typer.echo(_summary(report))


def _summary(report: Report) -> str:
    looked = f"{_counted(report.files, 'file')}, {_counted(report.names, 'name')}"
    passed = f", {report.allowed} allowed" if report.allowed else ""
    if report.clean:
        return f"nothing found in {looked}{passed}"
    counts = Counter(each.certainty for each in report.findings)
    told = ", ".join(f"{counts[level]} {level.word}" for level in sorted(counts, reverse=True))
    return f"{len(report.findings)} found ({told}) in {looked}{passed}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _advice(report: Report) -> dict[str, list[str]]:
    """What to do, with the kinds of finding that it is for."""
    found: dict[str, list[str]] = {}
    for each in report.findings:
        kinds = found.setdefault(each.advice, [])
        if each.kind not in kinds:
            kinds.append(each.kind)
    return found


def show_paper(paper: PaperReport) -> None:
    """Print the pages, the problems with theirs, and the notes."""
    console = _console()
    limit = "" if paper.allowed is None else f" of {paper.allowed} allowed"
    begins = [
        f"{name} on page {page}"
        for name, page in (("references", paper.references), ("appendix", paper.appendix))
        if page
    ]
    console.print(
        Text(
            f"{paper.main_pages} pages of main text{limit}, {paper.pages} in all; "
            f"{', '.join(begins) or 'no references found'}"
        )
    )
    if paper.problems:
        table = Table("page", "what", "found", "what to do", box=None, padding=(0, 2, 0, 0))
        for each in paper.problems:
            table.add_row(
                "" if each.page is None else str(each.page), Text(each.kind), Text(each.text), Text(each.advice)
            )
        console.print(table)
    for note in paper.notes:
        console.print(Text(note, style="dim"))
    typer.echo(_counted(len(paper.problems), "problem") if paper.problems else "no problems found")


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)
