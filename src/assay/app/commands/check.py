"""`assay check`: before a submission, does anything tell who the authors are, and does the paper keep to the rules?"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.app.commands.model_options import AsJson


class Level(StrEnum):
    """How certain a finding must be to count."""

    POSSIBLE = "possible"
    LIKELY = "likely"
    CERTAIN = "certain"


def check(
    path: Annotated[Path, typer.Argument(help="A paper, or for --anonymous also a folder, archive or repository.")],
    anonymous: Annotated[
        Path | None,
        typer.Option("--anonymous", metavar="NAMES.txt", help="Look for these names, and for all that identifies."),
    ] = None,
    allow: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Known-good texts, one a line, such as links to others' work.")
    ] = None,
    at_least: Annotated[Level, typer.Option(help="Only findings that are so certain.")] = Level.POSSIBLE,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also look into folders that tools make: .venv, node_modules, ...")
    ] = False,
    pages: Annotated[
        int | None, typer.Option(min=1, help="Pages of main text that are allowed; a PDF is checked without it too.")
    ] = None,
    camera_ready: Annotated[bool, typer.Option("--camera-ready", help="One page more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a submission; exit code 1 if something is found.

    With --anonymous: names (in any spelling), e-mails, home paths, links, hidden metadata and history, in text, PDF, LaTeX,
    notebooks, pictures, archives and git repositories. For a PDF without it, or with --pages: pages of main text, a
    section on limitations, figures with text under 6 points, references that lead nowhere.

    \b
    Examples:
      assay check --anonymous names.txt submission/
      assay check --anonymous names.txt --allow known.txt supplement.zip --json
      assay check paper.pdf --pages 9 --camera-ready
    """
    from assay.app.check_display import show_paper, show_report
    from assay.studies.anonymity.allowed import read_allowed
    from assay.studies.anonymity.check import check_path
    from assay.studies.anonymity.finding import Certainty
    from assay.studies.anonymity.names import read_names
    from assay.studies.paper.check import check_paper

    if allow is not None and anonymous is None:
        raise typer.BadParameter("goes with --anonymous.", param_hint="--allow")
    if camera_ready and pages is None:
        raise typer.BadParameter("goes with --pages.", param_hint="--camera-ready")
    report = paper = None
    if anonymous is not None:
        allowed = None if allow is None else read_allowed(allow)
        report = check_path(path, read_names(anonymous), allowed=allowed, everything=everything)
        report = report.at_least(Certainty[at_least.name])
    if pages is not None or anonymous is None:
        paper = check_paper(path, pages=pages, camera_ready=camera_ready)
    if as_json:
        content = {"anonymous": report and report.to_dict(), "paper": paper and paper.to_dict()}
        typer.echo(json.dumps({key: value for key, value in content.items() if value}, indent=2, ensure_ascii=False))
    else:
        if report is not None:
            show_report(report)
        if paper is not None:
            show_paper(paper)
    if (report is not None and not report.clean) or (paper is not None and paper.problems):
        raise typer.Exit(1)
