"""Text files: which language by the name's end, what is comment, and the readers for formats that are text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.piece import Item, Limits, Piece, Role
from assay.studies.anonymity.readers.comments import CODE, comments, only
from assay.studies.anonymity.readers.latex import read_bibliography, read_latex
from assay.studies.anonymity.readers.markup import read_markup
from assay.studies.anonymity.readers.notebook import read_notebook
from assay.studies.anonymity.readers.people import is_list_of_people, read_people
from assay.studies.anonymity.readers.structured import read_json

_PROSE = frozenset(["md", "txt", "rst", "org", "adoc", "text", "markdown", "rmd", "qmd", "log", "out", "err"])
_MARKUP = frozenset(("svg", "xml", "html", "htm", "xhtml", "rels", "xmp", "fodt"))
_DATA = frozenset(["csv", "tsv", "jsonl", "ndjson"])
_OWN = re.compile(
    r"^[ \t]*[\"']?(?:repository(?:-code)?|repo(?:_?url)?|homepage|home_?page|source(?: code)?|documentation|issues"
    r"|bug.?tracker|bugs|changelog|"
    r"project[_ ]urls?|url)[\"']?\s*[:=]\s*[\"']?(?P<url>(?:git\+)?(?:https?://|git@|ssh://|github:)[^\s\"',}]+)",
    re.I | re.M,
)
_MANIFESTS = frozenset((
    "pyproject.toml", "setup.py", "setup.cfg", "package.json", "citation.cff", "cargo.toml", "mkdocs.yml",
    "_config.yml", "meta.yaml", "codemeta.json", ".zenodo.json", ".gitmodules", "dockerfile", "description",
    "composer.json",
))  # fmt: skip


def decoded(data: bytes) -> str | None:
    """The text of a file, or None when it is none: UTF-8, UTF-16 or UTF-32 with a mark, else one byte a letter."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    head = data[: 1 << 16]
    strange = len(head.translate(None, bytes([*range(9), 11, *range(14, 27), *range(28, 32), 127])))
    if len(head) - strange > len(head) // 100:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        high = sum(byte > 127 for byte in head)
        return data.decode("cp1252", "replace") if high < len(head) // 5 else None


def read_text(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A text file, by the end of its name and by how it begins."""
    text = decoded(data) or ""
    end = name.suffix.lower().lstrip(".")
    if end in ("tex", "ltx", "sty", "cls", "dtx", "tikz", "pgf", "ins"):
        yield from read_latex(text, template=end in ("sty", "cls", "dtx", "ins"))
    elif end in ("bib", "bbl", "ris"):
        yield from read_bibliography(text)
    elif end == "ipynb":
        yield from read_notebook(text)
    elif end in ("json", "geojson", "webmanifest") or (text[:1] in "{[" and end == ""):
        yield from read_json(text, manifest=name.name.lower() in _MANIFESTS)
    elif end in ("svg", "xml", "html", "htm", "xhtml", "rels", "xmp", "fodt", "vsdx") or text.lstrip()[:5].lower() in (
        "<?xml",
        "<!doc",
        "<html",
        "<svg ",
    ):
        yield from read_markup(text)
    else:
        yield from plain_pieces(text, end)
    if is_list_of_people(name):
        yield from read_people(text, name)
    if name.name.lower() in _MANIFESTS:
        for match in _OWN.finditer(text):
            yield Piece(match["url"], Role.OWN_LINK, f"line {text.count(chr(10), 0, match.start('url')) + 1}")


def role_of(end: str) -> Role:
    """What a text with this end of its name is: prose, data or code."""
    return Role.PROSE if end in _PROSE or end == "" else Role.DATA if end in _DATA else Role.CODE


def plain_pieces(text: str, end: str) -> Iterator[Item]:
    """A text as it stands, and its comments once more, as they may be signed."""
    role = role_of(end)
    yield Piece(text, role, lines=True)
    if role is Role.CODE:
        yield Piece(only(text, comments(text, CODE)), Role.COMMENT, lines=True)
