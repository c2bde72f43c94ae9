"""`assay study report`, `figures` and `claims`: what is written about a run, and whether it says more than the run shows."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ReportFormat(StrEnum):
    """Forms of the report."""

    html = "html"
    md = "md"
    latex = "latex"
    all = "all"


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    form: Annotated[
        ReportFormat, typer.Option("--format", help="One page, Markdown, a LaTeX folder (extra `paper`), or all three.")
    ] = ReportFormat.html,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's path as JSON.")] = False,
) -> None:
    """Make the report of a finished run again, from its folder alone: nothing is computed, no model is loaded.

    \b
    Examples:
      assay study report runs/ioi
      assay study report runs/ioi --format all
    """
    from assay.studies.report import FORMATS, write_report

    wanted = [each for each in FORMATS if form in (ReportFormat.all, each)]
    paths = {each: str(write_report(folder, form=each)) for each in wanted}
    if as_json:
        one = paths[wanted[0]]
        typer.echo(json.dumps({"report": one} if len(paths) == 1 else {"report": one, "reports": paths}))
    else:
        for path in paths.values():
            typer.echo(path)


def figures(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    forms: Annotated[
        list[str] | None, typer.Option("--form", help="svg, pdf, png (extra `paper`) or html; may be given again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write the figures of a finished run as files. `html` is one page with all of them that can be zoomed and hovered.

    \b
    Examples:
      assay study figures runs/ioi
      assay study figures runs/ioi --form pdf --form html
    """
    from assay.studies.report.export import checked_forms, write_figures

    paths = write_figures(folder, forms=checked_forms(forms or ["svg"]))
    if as_json:
        typer.echo(json.dumps({"figures": [str(path) for path in paths]}))
    else:
        typer.echo(f"{len(paths)} files in {paths[0].parent}" if paths else "no figures")


def claims(
    files: Annotated[list[Path], typer.Argument(help="Texts: .md, .tex or .txt.")],
    run: Annotated[Path | None, typer.Option("--run", help="The run folder that the text is about.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Mark words stronger than the evidence, with the reason. Exit code 1 if a sentence contradicts it.

    With --run, what counts depends on the run: whether its steps intervene, how its hypotheses came out, which were added
    later. A sentence is about a hypothesis if it holds its macro (\\numFewHeads) or its id as code (`few_heads`).

    \b
    Examples:
      assay study claims paper/main.tex --run runs/ioi
      assay study claims notes.md
    """
    from assay.app.study_display import show_findings
    from assay.studies.lint import Finding
    from assay.studies.lint.claims import claims_in_file
    from assay.studies.report.contents import read_contents

    contents = None if run is None else read_contents(run)
    found: list[Finding] = []
    for path in files:
        if contents is None:
            findings = claims_in_file(path)
        else:
            findings = claims_in_file(path, study=contents.study, conclusion=contents.conclusion, cards=contents.cards)
        found += findings
        if not as_json:
            show_findings(findings, path)
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in found], indent=2, ensure_ascii=False))
    if any(each.level == "error" for each in found):
        raise typer.Exit(1)
