"""The report as Markdown: `report.md` with its figures beside it, for readers of plain text, issues and wikis.

The same content as the page in the same order; long tables are cut, and say so. What studies and prompts say is escaped, so
that it can make no table, link, picture or HTML of its own.
"""

from __future__ import annotations

import re

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from assay.core.svg import number
from assay.studies.corrected import what_holds
from assay.studies.report.costs import duration
from assay.studies.report.page import TEMPLATES, chance, condition
from assay.studies.report.shown import Shown

MOST = 40
"""Rows of a table, and prompts of a data set."""
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$#!])")


def markdown(shown: Shown) -> str:
    """The whole report; it shows figures/<name>.svg for each of `shown.figures()`."""
    contents = shown.contents
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # plain text: `escape` does what autoescape would, and a test looks at hostile text
    made.filters |= {"md": escape, "number": number, "seconds": duration, "condition": condition, "chance": chance}
    figures = {step.name: [pair for pair in shown.figures() if _of(pair[0], step.name)] for step in shown.steps}
    text = made.get_template("report.md.j2").render(
        contents=contents,
        study=contents.study,
        conclusion=contents.conclusion,
        model=contents.environment.get("model", {}).get("name") or str(contents.study.model),
        hypotheses=shown.hypotheses,
        steps=shown.steps,
        figures=figures,
        limits=shown.limits,
        prompts=shown.prompts,
        most=MOST,
        what_holds=what_holds,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def escape(text: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _of(figure: str, step: str) -> bool:
    return re.fullmatch(rf"step-{re.escape(step)}(-\d+)?", figure) is not None
