"""The report of a run: one HTML file that opens without a network, made from the run folder and from nothing else.

    contents    reads the folder
    evidence    what speaks for and against each hypothesis
    choose      which figures a step gets; heatmap, charts, attention, kept, strip draw them
    tables      every number, with its interval
    prompts     what the model did on each prompt, the worst first
    limits      what limits it all
    page        fills the templates

Text of studies and prompts is data: jinja escapes it in the page, and JSON for the page's script has no `<` in it. The
page forbids itself every request and every script but its own (Content-Security-Policy).
"""

from __future__ import annotations

from pathlib import Path

from assay.core.files import write_text
from assay.studies.report.contents import read_contents
from assay.studies.report.page import page

FILE = "report.html"


def write_report(folder: Path) -> Path:
    """Write the report of a run folder, whole or not at all, and say where it is.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to an end.
        StorageError: a file of the folder is damaged.
    """
    path = folder / FILE
    write_text(path, page(read_contents(folder)))
    return path


__all__ = ["FILE", "page", "read_contents", "write_report"]
