"""Where a paper's parts begin, from the lines of its pages.

Headings are known by their words standing alone on a line ("References", "6 Limitations", "A Appendix"), also in the small
capitals that come out of a PDF as "R EFERENCES". Running heads, page numbers and the line numbers of review styles are
taken away first: they are not text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

REFERENCES = frozenset(("references", "bibliography", "workscited", "literaturecited", "referencesandnotes"))
_APPENDIX = re.compile(
    r"(?:appendix|appendices|supplement(?:ary)?(?:materials?|information)?|technicalappendix)(?:[a-z]?)"
)
_LATE = (
    "acknowledg",
    "ethicsstatement",
    "ethicalconsiderations",
    "reproducibilitystatement",
    "broaderimpact",
    "impactstatement",
)
_NUMBER = re.compile(r"^(?:\d{1,2}|[A-Z]|[IVX]{1,4})(?:\.\d{1,2})*[.)]?\s+(?=\S)")
_LINE_NUMBER = re.compile(r"^\d{3,4}(?:\s+|$)")


@dataclass(frozen=True)
class Heading:
    """A heading and where it stands."""

    title: str
    page: int
    first: bool
    """Whether no text stands above it on its page."""


def page_lines(texts: list[str]) -> list[list[str]]:
    """The lines of each page without running heads, page numbers and line numbers of review styles."""
    pages = [[" ".join(line.split()) for line in text.splitlines() if line.strip()] for text in texts]
    pages = [_unnumbered(lines) for lines in pages]
    repeated = Counter(key for lines in pages for key in {_key(line) for line in (*lines[:3], *lines[-3:])})
    heads = {key for key, count in repeated.items() if count >= 3 and 2 * count > len(pages)}
    return [
        [line for line in lines if not re.fullmatch(r"[\divxIVX.–-]{1,6}", line) and _key(line) not in heads]
        for lines in pages
    ]


def _unnumbered(lines: list[str]) -> list[str]:
    """Without the numbers that review styles print beside each line."""
    numbered = sum(_LINE_NUMBER.match(line) is not None for line in lines)
    if numbered < 20 or 3 * numbered < len(lines):
        return lines
    return [rest for line in lines if (rest := _LINE_NUMBER.sub("", line))]


def _key(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _bare(line: str) -> str:
    """The letters of a heading, without its number."""
    return re.sub(r"[^a-z]", "", _NUMBER.sub("", line).lower())


def find_references(pages: list[list[str]]) -> Heading | None:
    """Where the references begin."""
    return next((heading for heading in _alone(pages) if _letters(heading.title) in REFERENCES), None)


def find_appendix(pages: list[list[str]]) -> Heading | None:
    """Where the appendix begins, when a heading calls it so."""
    return next((h for h in _alone(pages) if h.page > 1 and _APPENDIX.fullmatch(_letters(h.title))), None)


def lettered_appendix(pages: list[list[str]], number: int | None) -> Heading | None:
    """The appendix on a page that is known to begin it, at a heading such as "A Proofs": its words alone don't tell."""
    if number is None or not 1 < number <= len(pages):
        return None
    lines = pages[number - 1]
    at = next((i for i, line in enumerate(lines) if re.match(r"A[.:]? +[A-Z]", line) and len(line) <= 60), 0)
    return Heading(lines[at] if lines else "", number, first=at == 0)


def find_late(pages: list[list[str]], last: int) -> list[Heading]:
    """Sections that some venues don't count, up to a page: ethics, reproducibility, acknowledgements."""
    return [h for h in _alone(pages) if h.page <= last and _letters(h.title).startswith(_LATE)]


def _letters(title: str) -> str:
    return ({_bare(title), re.sub(r"[^a-z]", "", title.lower())} & REFERENCES and "references") or _bare(title)


def _alone(pages: list[list[str]]) -> list[Heading]:
    return [
        Heading(line, number, first=i == 0)
        for number, lines in enumerate(pages, 1)
        for i, line in enumerate(lines)
        if len(line) <= 60 and not line.endswith((",", ";"))
    ]


def find_limitations(pages: list[list[str]], outline: list[str]) -> int | None:
    """The page of a section, or of a paragraph with a heading of its own, on limitations; 0 if only the outline has it."""
    for number, lines in enumerate(pages, 1):
        for line in lines:
            heading = len(line) <= 70 and not re.search(r"[a-z][.,;:]$", line) and len(line.split()) <= 8
            letters = re.sub(r"[^a-z]", "", line.lower())
            starts = re.match(
                r"(?:\d[\d.]*\s+)?(?:[A-Z][\w-]+,? (?:and|&) )?L ?imitations?(?: (?:and|&) [\w ]{3,30})?[.:] ?(?=[A-Z]|$)",
                line,
                re.I,
            )
            if starts or (heading and "limitation" in letters and (line[:1].isupper() or line[:1].isdigit())):
                return number
    return 0 if any("limitation" in title.lower() for title in outline) else None
