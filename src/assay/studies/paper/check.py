"""Check a paper: does its main text fit the pages, does it say its limitations, can it be read, do its references resolve?

Main text is what stands before the references or the appendix, whichever comes first; a page that is partly main text
counts whole. Valid for papers with their text as text; a scan is refused.

Cost: about half a second for each page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.core.errors import InputError
from assay.studies.paper.glyphs import drawn
from assay.studies.paper.legible import illegible
from assay.studies.paper.opening import broken, open_pdf, quiet, short
from assay.studies.paper.references import broken_links, broken_marks, logged
from assay.studies.paper.report import PaperReport, Problem
from assay.studies.paper.sections import (
    Heading,
    find_appendix,
    find_late,
    find_limitations,
    find_references,
    lettered_appendix,
    page_lines,
)

LARGEST = 1 << 28
MOST_PAGES = 500


def check_paper(path: Path, *, pages: int | None = None, camera_ready: bool = False) -> PaperReport:
    """Check a PDF, with `pages` of main text allowed and one more in a camera-ready version."""
    try:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder: give the paper's PDF, or --anonymous NAMES.txt to look for names in it."
            )
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB: make its pictures smaller.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    with quiet():
        reader = open_pdf(data, path.name)
        if len(reader.pages) > MOST_PAGES:
            raise InputError(f"{path.name} has {len(reader.pages)} pages: more than {MOST_PAGES} are not checked.")
        texts, problems = _read(reader)
        outline, marked = _outline(reader), _marked_appendix(reader)
    if not "".join(texts).strip():
        raise InputError(f"{path.name} has no text that can be read: its pages are pictures. Make it from its source.")
    problems += logged(path)
    allowed = None if pages is None else pages + camera_ready
    return _report(page_lines(texts), outline, problems, allowed=allowed, marked=marked)


def _read(reader: Any) -> tuple[list[str], list[Problem]]:
    """The text of each page, and the problems that are seen page by page."""
    texts: list[str] = []
    problems: list[Problem] = []
    targets = _targets(reader)
    for number in range(1, len(reader.pages) + 1):
        try:
            page = reader.pages[number - 1]
            texts.append(page.extract_text())
            problems += broken_marks(texts[-1], number)
            problems += broken_links(page, number, targets) if targets is not None else []
            problems += illegible(drawn(page, reader), number)
        except broken() as error:
            texts += [""] * (number - len(texts))
            problems.append(Problem("broken page", number, f"cannot be read: {short(error)}", "Make the PDF again."))
    return texts, problems


def _targets(reader: Any) -> set[str] | None:
    """Names that links may lead to; None when they can't be read."""
    try:
        return {str(name).lstrip("/") for name in reader.named_destinations} | set(reader.named_destinations)
    except broken():
        return None


def _marked_appendix(reader: Any) -> int | None:
    """The page of the appendix where LaTeX has marked it: hyperref calls the sections behind `\\appendix` appendix.A, …B."""
    try:
        places = reader.named_destinations
        place = places.get("appendix.A") or places.get(
            "/appendix.A"
        )  # the name of an older kind of mark keeps its slash
        number = None if place is None else reader.get_destination_page_number(place)
    except broken():
        return None
    return None if number is None or number < 0 else number + 1


def _outline(reader: Any) -> list[str]:
    def titles(entries: Any) -> Iterator[str]:
        for each in entries:
            if isinstance(each, list):
                yield from titles(each)
            else:
                yield str(each.title)

    try:
        return list(titles(reader.outline))
    except broken():
        return []


def _report(
    lines: list[list[str]], outline: list[str], problems: list[Problem], *, allowed: int | None, marked: int | None
) -> PaperReport:
    references, appendix = find_references(lines), find_appendix(lines) or lettered_appendix(lines, marked)
    end = min((h for h in (references, appendix) if h is not None), key=lambda h: (h.page, not h.first), default=None)
    main = len(lines) if end is None else end.page - end.first
    found = list(problems)
    if allowed is not None and main > allowed:
        found.insert(0, Problem(
            "too long", allowed + 1, f"the main text has {main} pages, {allowed} are allowed",
            "Shorten it, or move parts to the appendix.",
        ))  # fmt: skip
    if references is None:
        found.append(
            Problem(
                "no references",
                None,
                "no heading 'References' was found, so all pages count",
                "Give the references a heading.",
            )
        )
    where = find_limitations(lines, outline)
    if where is None:
        found.append(
            Problem(
                "no limitations",
                None,
                "no section or paragraph 'Limitations' was found",
                "Say what the work does not show.",
            )
        )
    notes = [
        f"'{h.title}' on page {h.page} is counted as main text; some venues don't count it." for h in _late(lines, end)
    ]
    if where and end is not None and where > end.page:
        notes.append(f"'Limitations' stands only behind the main text, on page {where}.")
    return PaperReport(
        len(lines), main, None if references is None else references.page, None if appendix is None else appendix.page, allowed,
        tuple(sorted(found, key=lambda each: each.page or 0)), tuple(notes),
    )  # fmt: skip


def _late(lines: list[list[str]], end: Heading | None) -> list[Heading]:
    return find_late(lines, end.page) if end is not None else []
