"""Writing the figures of a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from markupsafe import Markup

from assay.core.errors import StudyError, nearest
from assay.core.files import write_bytes
from assay.studies.report.contents import read_contents
from assay.studies.report.drawn import Drawn
from assay.studies.report.export.interactive import interactive
from assay.studies.report.export.looks import css
from assay.studies.report.export.render import rendered
from assay.studies.report.shown import gathered

Form = Literal["svg", "pdf", "png", "html"]
FORMS: tuple[Form, ...] = get_args(Form)
FOLDER = "figures"


def write_figures(folder: str | os.PathLike[str], *, forms: Sequence[Form] = ("svg",)) -> list[Path]:
    """Write every figure of a run into its `figures` folder; `html` is one page with all of them.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to an end.
        MissingExtraError: PDF and PNG need the extra `paper`.
    """
    root = Path(folder)
    shown = gathered(read_contents(root))
    written = []
    for name, content in figure_files(list(shown.figures()), forms):
        write_bytes(root / FOLDER / name, content)
        written.append(root / FOLDER / name)
    return written


def checked_forms(names: Iterable[str]) -> list[Form]:
    """The forms of these names.

    Raises:
        StudyError: there is no such form.
    """
    found: list[Form] = []
    for name in names:
        known = next((form for form in FORMS if form == name), None)
        if known is None:
            raise StudyError(
                f"Figures can't be written as {name!r}; there are {', '.join(FORMS)}.{nearest(name, FORMS)}"
            )
        found.append(known)
    return found


def figure_files(figures: Sequence[tuple[str, Drawn]], forms: Sequence[Form]) -> Iterable[tuple[str, bytes]]:
    """Names and contents of the files."""
    for name, drawn in figures:
        if "svg" in forms:
            yield f"{name}.svg", standalone(drawn.picture).encode()
        if "pdf" in forms:
            yield f"{name}.pdf", rendered(drawn.picture, "pdf")
        if "png" in forms:
            yield f"{name}.png", rendered(drawn.picture, "png")
    if "html" in forms:
        yield "interactive.html", interactive(figures).encode()


def standalone(picture: Markup) -> str:
    """The picture with its style sheet in it, light, on white."""
    opening, bracket, rest = str(picture).partition(">")
    named = opening if "xmlns=" in opening else opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    font = "svg{font:11.5px system-ui,sans-serif;background:#fff}"
    return f"{named}{bracket}<style>{font}{css()}</style>{rest}\n"
