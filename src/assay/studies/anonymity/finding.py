"""What a check gives: findings with their place, how certain they are and what to do, and links to look over."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Certainty(IntEnum):
    """How sure it is that a reviewer would learn who the authors are."""

    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3

    @property
    def word(self) -> str:
        """As it is written: certain, likely, possible."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One thing that tells who the authors are, or that could not be looked at."""

    file: str
    place: str
    """Line, page, cell, object or field; empty when it is the file as a whole."""
    kind: str
    text: str
    """What was found, as it stands there, shortened."""
    certainty: Certainty
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the certainty as a word."""
        return asdict(self) | {"certainty": self.certainty.word}


@dataclass(frozen=True)
class Report:
    """All findings of a check, the surest first within each file."""

    findings: tuple[Finding, ...]
    links: tuple[str, ...] = ()
    """Links to accounts that are not known: others' work as a rule, to be looked over once by the authors."""
    left_out: tuple[str, ...] = ()
    """Folders that were not looked into, as they are made by tools."""
    files: int = 0
    bytes: int = 0
    allowed: int = 0
    """Findings that the allow-list let pass."""
    names: int = field(default=0)

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and everything could be looked at."""
        return not self.findings

    def at_least(self, certainty: Certainty) -> Report:
        """Only the findings that are so certain."""
        kept = tuple(each for each in self.findings if each.certainty >= certainty)
        return Report(kept, self.links, self.left_out, self.files, self.bytes, self.allowed, self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "clean": self.clean,
            "files": self.files,
            "bytes": self.bytes,
            "names": self.names,
            "allowed": self.allowed,
            "findings": [each.to_dict() for each in self.findings],
            "links": list(self.links),
            "left_out": list(self.left_out),
        }


ADVICE = {
    "name": "Remove the name, or replace it by 'Anonymous'.",
    "citation": "A citation of own work is fine in the third person ('Doe et al. show'); check that it is.",
    "initials": "Remove the initials, or the comment that holds them.",
    "account": "Replace the user name by 'anonymous'.",
    "given text": "Remove it.",
    "e-mail": "Remove the address.",
    "ORCID": "Remove it.",
    "phone": "Remove the number.",
    "home path": "Use a relative path, or replace the user's name: /home/anonymous.",
    "host name": "Remove the host's name.",
    "hub link": "Point to an anonymous copy (anonymous.4open.science), or say 'released after review'.",
    "shared document": "Its owner can be seen: put the file into the supplement instead.",
    "profile": "Remove the link.",
    "affiliation": "Remove the affiliation until the paper is accepted.",
    "author field": "Empty the field, or write 'Anonymous'.",
    "author block": "Use 'Anonymous Author(s)', or the style's option for review.",
    "acknowledgement": "Leave acknowledgements out until the paper is accepted.",
    "grant": "Leave funding out until the paper is accepted.",
    "own work": "Write of it in the third person ('Doe et al. show'), or cite it as anonymous.",
    "style option": "Use the style's option for review: this one prints the authors.",
    "hidden text": "Delete it: it can be copied out of the file.",
    "location": "Remove the picture's metadata.",
    "device": "Remove the picture's metadata.",
    "copyright": "Write 'Copyright the authors' until the paper is accepted.",
    "key": "Revoke this key now, then remove it: it opens your account.",
    "git identity": "Submit an export without history: git archive HEAD.",
    "not read": "Look at it by hand, leave it out, or allow it in the allow-list.",
}
"""What to do about each kind of finding."""
