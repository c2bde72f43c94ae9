"""A folder that compiles on its own into a short paper: figures as PDF, tables, macros, references, and a skeleton.

    main.tex  macros.tex  references.bib  tables/*.tex  figures/*.pdf

Compiles with pdfLaTeX and BibTeX and packages of every distribution (booktabs, graphicx, hyperref, longtable, amsmath).
"""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from assay.core.files import atomic_folder
from assay.studies.corrected import what_holds
from assay.studies.lint.claims import macro_name
from assay.studies.report.drawn import Drawn
from assay.studies.report.export.files import figure_files
from assay.studies.report.latex.citations import bibtex, is_work, key_of
from assay.studies.report.latex.macros import letters, macro_file, prefixes
from assay.studies.report.latex.tables import method_table, number_table, verdict_table
from assay.studies.report.latex.text import escape
from assay.studies.report.page import TEMPLATES
from assay.studies.report.shown import Shown


def write_paper(shown: Shown, folder: Path) -> Path:
    """Write the folder, whole or not at all; what was there is replaced.

    Raises:
        MissingExtraError: figures need the extra `paper`.
    """
    figures = list(shown.figures())
    contents = dict(figure_files(figures, ("pdf",)))
    with atomic_folder(folder) as temporary:
        for name in ("figures", "tables"):
            (temporary / name).mkdir()
        for name, content in contents.items():
            (temporary / "figures" / name).write_bytes(content)
        for name, text in texts(shown, figures).items():
            (temporary / name).write_text(text, encoding="utf-8")
    return folder


def texts(shown: Shown, figures: list[tuple[str, Drawn]]) -> dict[str, str]:
    """Every text of the folder by its path in it."""
    prefix = prefixes(shown)
    cited = {
        step.name: [each for each in step.result.card.get("cites", []) if is_work(str(each))] for step in shown.steps
    }
    keys = {name: [key_of(each) for each in works] for name, works in cited.items()}
    numbers = {
        f"{_key(step.name)}-{i + 1}": number_table(table, step.title, f"{_key(step.name)}-{i + 1}")
        for step in shown.steps
        for i, table in enumerate(step.tables)
    }
    return {
        "main.tex": _main(shown, figures, prefix, list(numbers), any(cited.values())),
        "macros.tex": macro_file(shown),
        "references.bib": bibtex(dict.fromkeys(each for works in cited.values() for each in works)),
        "tables/verdicts.tex": verdict_table(shown, prefix),
        "tables/methods.tex": method_table(shown, keys),
        **{f"tables/{name}.tex": text for name, text in numbers.items()},
    }


def _main(
    shown: Shown, figures: list[tuple[str, Drawn]], prefix: dict[str, str], tables: list[str], cited: bool
) -> str:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES / "latex"), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, block_start_string="((*", block_end_string="*))", variable_start_string="((",
        variable_end_string="))", comment_start_string="((=", comment_end_string="=))",
    )  # fmt: skip
    made.filters |= {"tex": escape, "key": _key}
    by_step = {
        step.name: [pair for pair in figures if re.fullmatch(rf"step-{re.escape(step.name)}(-\d+)?", pair[0])]
        for step in shown.steps
    }
    return made.get_template("main.tex.j2").render(
        study=shown.contents.study,
        hypotheses=shown.hypotheses,
        steps=shown.steps,
        limits=shown.limits,
        figures=by_step,
        prefix=prefix,
        tables=tables,
        cited=cited,
        what_holds=what_holds,
        letters=letters,
        camel=lambda name: macro_name(name).removeprefix("num"),
    )


def _key(name: str) -> str:
    """A name as a label or a file's name."""
    return name.replace("_", "-")
