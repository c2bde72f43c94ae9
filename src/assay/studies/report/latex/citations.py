"""BibTeX of the methods that a run used, from what their cards cite.

Titles and authors of what assay's own methods cite are in `citations.json`, by the card's own text; a citation that is not
there (a method of another package) becomes an entry with its identifier alone, to be completed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from assay.studies.report.latex.text import escape

_FILE = Path(__file__).with_name("citations.json")
_ARXIV = re.compile(r"^arXiv:(\d{4}\.\d{4,5})(v\d+)?$")
_DOI = re.compile(r"^doi:(10\.\S+)$")


@cache
def known() -> dict[str, dict[str, str]]:
    """The entries by citation: key, title, author (BibTeX's form), year, and where it was published."""
    found: dict[str, dict[str, str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def is_work(cited: str) -> bool:
    """Whether a card's citation names a work: baselines say `none: …`."""
    return not cited.startswith("none")


def key_of(cited: str) -> str:
    """The BibTeX key of a citation."""
    if cited in known():
        return known()[cited]["key"]
    return re.sub(r"[^A-Za-z0-9]+", "-", cited).strip("-") or "work"


def bibtex(cited: Iterable[str]) -> str:
    """The entries of these citations, each once, in order of their keys."""
    entries = {key_of(each): _entry(each) for each in cited if is_work(each)}
    return "\n".join(entries[key] for key in sorted(entries))


def _entry(cited: str) -> str:
    stored = known().get(cited, {"title": cited})
    fields = {name: escape(value) for name, value in stored.items() if name != "key"}
    fields["title"] = f"{{{fields['title']}}}"
    if "author" in fields:  # an accent in braces of its own, so that BibTeX takes it for one letter of the name
        fields["author"] = re.sub(r"(\\[`'^~\"=.vuHck]\{\\?\w\})", r"{\1}", fields["author"])
    if match := _ARXIV.match(cited):
        fields |= {"eprint": match[1], "archiveprefix": "arXiv"}
        fields.setdefault("note", f"arXiv:{match[1]}")
    if match := _DOI.match(cited):
        fields |= {"doi": match[1]}
        fields.setdefault("note", f"doi:{escape(match[1])}")
    kind = "article" if "journal" in stored else "misc"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key_of(cited)},", *lines, "}", ""])
