"""Files that exist to say who made something: AUTHORS, CONTRIBUTORS, MAINTAINERS, .mailmap, CODEOWNERS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.piece import Found, Item, Piece, Role

MOST = 200
"""Lines with people that are told of one file."""
_LISTS = frozenset(("authors", "contributors", "maintainers", "credits", "thanks", "owners", "codeowners"))
_PERSON = re.compile(
    r"^[-*+\d.)\s]*(?P<who>[^\W\d_a-z][\w'’.-]*(?: [^\W\d_a-z]\.)?(?: (?:[^\W\d_a-z]|van |von |de |der )[\w'’ -]*?){1,3})"
    r"\s*(?:[<(\[,;:|]|--|–|$)"
)
_OWNER = re.compile(r"(?:^|\s)@(?P<who>[A-Za-z0-9][\w/-]+)")


def is_list_of_people(name: PurePosixPath) -> bool:
    """Whether a file's name says that it lists people."""
    return name.name.lower() == ".mailmap" or (
        name.stem.lower() in _LISTS and name.suffix.lower() in ("", ".md", ".txt", ".rst")
    )


def read_people(text: str, name: PurePosixPath) -> Iterator[Item]:
    """One finding for each line that begins with a name, each account that owns a path, each line of a .mailmap."""
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1)]
    told = [(i, line) for i, line in lines if line and not line.startswith("#")]
    if name.name.lower() == ".mailmap":
        yield from (Piece(line, Role.GIT, f"line {i}") for i, line in told[:MOST])
    elif "owners" in name.stem.lower():
        found = ((i, match["who"]) for i, line in told for match in _OWNER.finditer(line))
        yield from (Found("account", who, f"line {i}", 2) for i, who in islice(found, MOST))
    else:
        names = ((i, match["who"].strip()) for i, line in told if (match := _PERSON.match(line)))
        named = ((i, who) for i, who in names if names_somebody(who) and len(who) < 60)
        yield from (Found("author field", who, f"line {i}", 2) for i, who in islice(named, MOST))
