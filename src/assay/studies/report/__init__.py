"""The report of a run, made from the run folder and from nothing else: a page, Markdown, LaTeX, figures as files.

    contents    reads the folder; costs what its log says of estimates
    shown       everything that is said of it, for every form:
        evidence    what speaks for and against each hypothesis; against: its controls
        choose      which figures a step gets; heatmap, charts, attention, kept, strip, scatter … draw them
        tables      every number, with its interval
        prompts     what the model did on each prompt, the worst first
        limits      what limits it all; choices: what hangs on how it was measured
    page        one HTML file that opens without a network
    markdown    report.md
    latex       a folder that compiles into a short paper
    export      figures as SVG, PDF, PNG and in one interactive page

Text of studies and prompts is data: jinja escapes it in the page, `markdown.escape` and `latex.text.escape` elsewhere, and
JSON for the page's script has no `<` in it. The page forbids itself every request and every script but its own
(Content-Security-Policy).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from assay.core.files import write_bytes, write_text
from assay.studies.report.contents import read_contents
from assay.studies.report.export.files import figure_files
from assay.studies.report.latex import write_paper
from assay.studies.report.markdown import markdown
from assay.studies.report.page import page
from assay.studies.report.shown import Shown, gathered

FILE = "report.html"
Format = Literal["html", "md", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)


def write_report(folder: Path, *, form: Format = "html") -> Path:
    """Write the report of a run folder in one form, whole or not at all, and say where it is.

    `html` writes report.html, `md` report.md with its figures beside it, `latex` the folder report/latex.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to an end.
        StorageError: a file of the folder is damaged.
        MissingExtraError: `latex` needs the extra `paper` for its figures.
    """
    shown = gathered(read_contents(folder))
    match form:
        case "html":
            return _written(folder / FILE, page(shown))
        case "md":
            return _markdown(shown, folder)
        case "latex":
            return write_paper(shown, folder / "report" / "latex")


def _markdown(shown: Shown, folder: Path) -> Path:
    for name, content in figure_files(list(shown.figures()), ("svg",)):
        write_bytes(folder / "figures" / name, content)
    return _written(folder / "report.md", markdown(shown))


def _written(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


__all__ = ["FILE", "FORMATS", "Format", "gathered", "page", "read_contents", "write_report"]
