"""The names that must not appear, from a file with one on each line.

    Jane Q. Doe                     a person; 'Doe, Jane' also
    Doe, María de la Cruz
    jane.doe@cs.example.edu         an address; what is before the @ is looked for as an account too
    @jdoe                           an account, on whatever hub
    University of Example           anything else is looked for as it stands
    text: Project Bluebird          the same, said outright; `name:`, `account:`, `e-mail:` likewise
    # a comment

Case, accents and spaces don't matter, but a name made of common words ("Will Long") must have its capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import InputError
from assay.studies.anonymity.folding import plain
from assay.studies.anonymity.lists import listed

_KINDS = {"name": "person", "person": "person", "account": "account", "user": "account", "handle": "account"} | {
    "e-mail": "address", "email": "address", "text": "text", "org": "text", "affiliation": "text",
}  # fmt: skip
_PLACES = re.compile(
    r"\b(?:universit\w*|institut\w*|college|school|lab(?:s|orator\w+)?|inc|ltd|llc|gmbh|corp\w*|group|cent(?:er"
    r"|re)|department|"
    r"facult\w+|research|foundation|academy|hospital|company|team|project|of|for|at)\b",
    re.I,
)
_PARTICLES = {
    "van",
    "von",
    "der",
    "den",
    "de",
    "del",
    "della",
    "di",
    "da",
    "dos",
    "du",
    "la",
    "le",
    "ter",
    "ten",
    "bin",
    "al",
    "el",
}
_TITLES = {"dr", "prof", "professor", "mr", "mrs", "ms", "phd", "jr", "sr", "ii", "iii"}
FREQUENT = listed("surnames")
"""Surnames that are so frequent, or so much a term, that the surname alone says little."""


@dataclass(frozen=True)
class Person:
    """A name in its parts, without accents."""

    given: tuple[str, ...]
    surname: str

    @property
    def common(self) -> bool:
        """Whether every part that is looked for is a common word too."""
        return all(is_word(each) for each in (self.given[0], *re.split(r"[\s'-]+", self.surname)))

    @property
    def telling(self) -> bool:
        """Whether the surname alone tells: long enough, no word, and not borne by too many."""
        bare = self.surname.lower()
        return len(bare) >= 4 and not is_word(bare) and bare not in FREQUENT

    @property
    def handles(self) -> tuple[str, ...]:
        """Account names that people with this name often take."""
        first, last = _bare(self.given[0]), _bare(self.surname)
        middle = "".join(_bare(each)[:1] for each in self.given[1:])
        made = [first + last, last + first, first[0] + last, last + first[0], first[0] + middle + last, first + last[0]]
        return tuple(dict.fromkeys(each for each in made if len(each) >= 4 and not is_word(each)))

    @property
    def initials(self) -> str:
        """JQD, of 'Jane Q. Doe'."""
        return "".join(each[0] for each in (*self.given, *self.surname.split()[-1:])).upper()


@dataclass(frozen=True)
class Names:
    """All that is looked for by name."""

    people: tuple[Person, ...] = ()
    accounts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.people) + len(self.accounts) + len(self.addresses) + len(self.texts)


def read_names(path: Path) -> Names:
    """The names of a file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"Cannot read the names in {path}: {error.strerror or error}. Give a file with one name a line."
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: write one name on each line.") from None
    names = parse_names(text.splitlines())
    if not len(names):
        raise InputError(f"{path} holds no names: write each author, account and affiliation on a line of its own.")
    return names


def parse_names(lines: Iterable[str]) -> Names:
    """Names from lines, each as `read_names` takes it."""
    found: dict[str, list[str]] = {"person": [], "account": [], "address": [], "text": []}
    for raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        for kind, text in _split(line):
            found[kind].append(text)
    people: list[Person] = []
    for text in found["person"]:
        people += _people(text)
    local = [address.partition("@")[0] for address in found["address"]]
    accounts = [a for a in (*found["account"], *local) if len(a) >= 3 and not is_word(a.lower())]
    texts = [t for t in found["text"] if len(t) >= 2]
    unique = dict.fromkeys
    return Names(tuple(unique(people)), tuple(unique(accounts)), tuple(unique(found["address"])), tuple(unique(texts)))


def _split(line: str) -> list[tuple[str, str]]:
    """The kind of a line, and what it says; 'Jane Doe <jane@x.org>' is two."""
    head, colon, rest = line.partition(":")
    if colon and head.strip().lower() in _KINDS and not rest.startswith("//"):
        return [(_KINDS[head.strip().lower()], rest.strip().lstrip("@"))]
    if address := re.search(r"<?([^\s<>]+@[^\s<>]+\.[^\s<>]+?)>?$", line):
        before = line[: address.start()].strip(" ,;")
        return [*(_split(before) if before else []), ("address", address[1])]
    if line.startswith("@"):
        return [("account", line[1:])]
    if account := re.match(
        r"https?://(?:www\.)?(?:github|gitlab|huggingface|wandb|x|twitter)\.\w+/@?([\w.-]+)/?$", line
    ):
        return [("account", account[1])]
    words = line.replace(",", " ").split()
    if 2 <= len(words) <= 6 and not _PLACES.search(line) and all(re.match(r"[^\W\d_]", word) for word in words):
        return [("person", line)]
    if len(words) == 1 and re.fullmatch(r"[a-z][a-z\d_.-]*[\d_.-][a-z\d_.-]*", line):
        return [("account", line)]
    return [("text", line)]


def _people(text: str) -> list[Person]:
    """A person, twice where a spelling without accents differs: Müller is Muller and Mueller."""
    spellings = [text, re.sub(r"[äöüÄÖÜ]", lambda m: {"ä": "ae", "ö": "oe", "ü": "ue"}.get(m[0].lower(), m[0]), text)]
    return [_person(plain(each)) for each in dict.fromkeys(spellings)]


def _person(text: str) -> Person:
    last, comma, first = text.partition(",")
    if comma and not _words(first):  # only a title: Jane Doe, PhD
        text, comma = last, ""
    if comma:
        surname, given = last.split(), _words(first)
    else:
        words = _words(text)
        at = len(words) - 1
        while at > 1 and words[at - 1] in _PARTICLES:
            at -= 1
        given, surname = words[:at], words[at:]
    if not given or not surname:
        raise InputError(
            f"'{text}' is not a first name and a surname. Write 'text: {text}' to look for it as it stands."
        )
    return Person(tuple(given), " ".join(surname))


def _words(text: str) -> list[str]:
    return [word for each in text.split() if (word := each.strip(".,")) and word.lower() not in _TITLES]


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower()) or text.lower()


def is_word(text: str) -> bool:
    """Whether it is a common English word, or a piece of one."""
    return text.lower() in listed("words")
