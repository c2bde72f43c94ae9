"""One piece of text, searched for the given names and for everything else that identifies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from assay.studies.anonymity.addresses import find_addresses
from assay.studies.anonymity.fields import find_fields, names_somebody
from assay.studies.anonymity.folding import fold
from assay.studies.anonymity.formats import find_formats
from assay.studies.anonymity.links import find_links
from assay.studies.anonymity.machine import find_machine
from assay.studies.anonymity.match import CERTAIN, Match, strongest
from assay.studies.anonymity.names import Names
from assay.studies.anonymity.persons import find_names
from assay.studies.anonymity.piece import Piece, Role
from assay.studies.anonymity.signed import find_signed
from assay.studies.anonymity.wording import find_affiliations, find_wording


def search(piece: Piece, names: Names, *, accents: bool = True) -> tuple[list[Match], list[str]]:
    """Matches with their places in the piece's own text, and links to unknown accounts.

    With `accents=False` a quote behind a backslash is a quote, as in JSON and code, and no accent of LaTeX.
    """
    folded = fold(piece.text, accents=accents)
    matches, links = _all(folded.text, names, piece.role)
    found = []
    for each in strongest(matches):
        start, end = folded.back(each.start, each.end)
        found.append(replace(each, start=start, end=end))
    return found, links


def _all(text: str, names: Names, role: Role) -> tuple[list[Match], list[str]]:
    matches = find_names(text, names, role)
    matches += find_addresses(text, role)
    matches += find_machine(text, role)
    matches += find_fields(text, role)
    matches += find_signed(text, role)
    matches += find_formats(text, role)
    matches += _git(text, role)
    linked, unknown = find_links(text, role)
    matches += linked
    matches += find_wording(text, role)
    if role is Role.PERSON:
        matches += find_affiliations(text)
    return matches, unknown


def _git(text: str, role: Role) -> Iterator[Match]:
    """The name in 'Jane Doe <jane@x.org>', whoever it is."""
    if role is Role.GIT:
        match = re.match(r"[^<\n]*(?:<[^>\n]*>)?", text)
        if match and names_somebody(match[0].partition("<")[0]) and match[0].strip():
            yield Match("git identity", 0, match.end(), CERTAIN, "Anonymous <anonymous@example.org>")
