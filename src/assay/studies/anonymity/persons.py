"""Finding given names in text: in any order, with initials, split over lines, joined in an account's name, letter-spaced.

Valid for names written in an alphabet; others are looked for as they stand. A surname alone is reported when it is rare
enough to tell, and before a year or 'et al.' only as a citation.

Cost: for each name one search for the surname; only a text that has it is looked at with patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from assay.studies.anonymity.match import CERTAIN, LIKELY, POSSIBLE, Match
from assay.studies.anonymity.names import Names, Person, is_word
from assay.studies.anonymity.piece import Role

_GAP = r"(?:[\s~_.,{}\\;|*+/#%\"'<>()-]|\\(?:textbf|textit|textsc|emph|and)\b){0,8}"
_NEAR = r"[\s~_-]{1,4}"
_CITED = re.compile(r"(?:['’]s)?[\s,~}{\\]*(?:\(?(?:19|20)\d\d|et[\s~\\]*al|and [A-Z]|& [A-Z])")
_NAMING = {Role.PERSON, Role.GIT, Role.PATH, Role.OWN_LINK}


def find_names(text: str, names: Names, role: Role) -> list[Match]:
    """All given names in a folded text."""
    low = text.lower()
    found: list[Match] = []
    for person in names.people:
        if re.split(r"[\s'-]+", person.surname)[-1].lower() in low:
            found += _person(text, person, role)
        if role in (Role.PAGE, Role.HIDDEN):
            found += _spaced(text, low, person)
        found += _handles(text, low, person, role)
        if role is Role.COMMENT and (person.given[0].lower() in low or person.initials in text):
            found += _signed(text, person)
    for account in names.accounts:
        found += _literal(text, low, account, "account")
    for address in names.addresses:
        found += _literal(text, low, address, "e-mail")
    for phrase in names.texts:
        found += _phrase(text, low, phrase)
    return found


def _person(text: str, person: Person, role: Role) -> Iterator[Match]:
    full, short, alone = _patterns(person)
    for match in full.finditer(text):
        if _bounded(text, *match.span()) and (not person.common or _capitals(match, role)):
            yield Match("name", *match.span(), CERTAIN, "Anonymous")
    for match in short.finditer(text):
        if _bounded(text, *match.span()):
            yield Match("name", *match.span(), POSSIBLE if person.common else LIKELY, "Anonymous")
    word = is_word(person.surname) and role is Role.PATH  # long.csv is nobody's
    if word or not (person.telling or role in _NAMING):
        return
    for match in alone.finditer(text):
        if not _bounded(text, *match.span()) or (role is Role.BINARY and len(match[0]) < 6):
            continue
        if role in _NAMING:
            yield Match("name", *match.span(), LIKELY if person.telling else POSSIBLE, "anonymous")
        elif role is Role.BIBLIOGRAPHY or _CITED.match(text, match.end()):
            yield Match("citation", *match.span(), POSSIBLE, "Anonymous")
        else:
            yield Match("name", *match.span(), LIKELY if match[0][0].isupper() else POSSIBLE, "Anonymous")


@cache
def _patterns(person: Person) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The whole name in either order; with initials (in capitals); the surname alone."""
    gap = _NEAR if person.common else _GAP
    given, surname = _parts(person.given[0]), _parts(person.surname)
    middle = "".join(rf"(?:{_parts(each)}|{each[0]}\.?){{0,1}}{gap}" for each in person.given[1:])
    extra = middle or r"(?:[A-Za-z]\.?\s+)?"
    full = re.compile(rf"{given}{gap}{extra}{surname}|{surname}(?:{gap}|\s*,\s*){middle}{given}", re.I)
    first, last = person.given[0][0].upper(), f"(?:{_parts(person.surname)}|{_parts(person.surname).upper()})"
    dots = "".join(rf"(?:{each[0].upper()}\.?[\s~-]*)?" for each in person.given[1:]) or r"(?:[A-Z]\.[\s~]*)?"
    short = re.compile(
        rf"(?<![A-Za-z.]){first}(?:\.[\s~\\,{{}}-]*|[\s~]){dots}{last}|{last},[\s~]*{first}(?:\.|\b(?!\w|'))"
    )
    return full, short, re.compile(surname, re.I)


def _parts(name: str) -> str:
    """A pattern for a name whose parts may be joined by anything: Smith-Jones, Smith Jones, SmithJones."""
    return r"[\s~'._-]*".join(map(re.escape, re.split(r"[\s'.-]+", name)))


def _bounded(text: str, start: int, end: int) -> bool:
    """Whether letters around it don't make it part of another word; a change of case parts words, as in byJaneDoe2."""
    before, after = text[start - 1 : start], text[end : end + 1]
    whole_before = not before.isalpha() or (before.islower() and text[start].isupper())
    whole_after = not after.isalpha() or (after.isupper() and text[end - 1].islower())
    return whole_before and whole_after


def _capitals(match: re.Match[str], role: Role) -> bool:
    words = [word for word in re.split(r"[^A-Za-z]+", match[0]) if word]
    return role in _NAMING or all(word[0].isupper() for word in words)


def _spaced(text: str, low: str, person: Person) -> Iterator[Match]:
    """'J a n e D o e' and 'Ja ne Do e', as pages give it whose letters were set one by one."""
    bare = _bare(person.given[0]) + _bare(person.surname)
    if len(bare) < 7 or bare not in re.sub(r"[\s-]+", "", low):
        return
    for match in re.finditer(r"[\s-]*".join(bare), text, re.I):
        letters = [c for c in match[0] if c.isalpha()]
        if _bounded(text, *match.span()) and letters[0].isupper() and letters[len(_bare(person.given[0]))].isupper():
            yield Match("name", *match.span(), CERTAIN, "Anonymous")


def _handles(text: str, low: str, person: Person, role: Role) -> Iterator[Match]:
    first_surname = _bare(person.surname)
    for handle in person.handles:
        weak = handle == person.given[0].lower() + first_surname[:1] or len(handle) < 6
        if role is Role.BINARY and len(handle) < 6:
            continue
        for match in _token(handle).finditer(text) if handle in low else ():
            if match[0].isupper() and len(handle) < 7:
                continue  # an acronym
            yield Match("account", *match.span(), POSSIBLE if weak and role not in _NAMING else LIKELY)
    joined = rf"(?<![A-Za-z]){person.given[0][0]}[._-]{first_surname}(?![A-Za-z])"
    if first_surname in low and not is_word(first_surname):
        for match in re.finditer(joined, text, re.I):
            yield Match("account", *match.span(), LIKELY)


def _signed(text: str, person: Person) -> Iterator[Match]:
    """A comment that is signed or addressed: 'TODO(jane)', 'JD: check', '@jane'."""
    given = re.escape(person.given[0])
    who = rf"{given}|{re.escape(person.initials)}"
    # a given name that is a word is only known by its capital: \mark and @will are commands and words
    word = is_word(person.given[0])
    short = who if word else rf"(?i:{given})|{re.escape(person.initials)}"
    macro = "" if word else rf"|\\(?P<d>(?i:{given}))\{{"
    if word:
        text = re.sub(rf"@(?i:{given})\b", lambda match: " " * len(match[0]), text)
    pattern = (
        rf"(?i:todo|fixme|note|xxx)\s*[(\[]\s*(?P<a>(?i:{who}))\b|(?:^|[\s%#/\[(])@?(?P<b>{short})\s*[:>]"
        rf"|@(?P<c>(?i:{who}))\b{macro}"
    )
    for match in re.finditer(pattern, text, re.M):
        group = next(name for name in "abcd" if match.groupdict().get(name))
        yield Match("initials", *match.span(group), LIKELY, "anonymous")


def _literal(text: str, low: str, word: str, kind: str) -> Iterator[Match]:
    if word.lower() in low:
        for match in _token(word).finditer(text):
            yield Match(kind, *match.span(), CERTAIN, "anonymous" if kind == "account" else "anonymous@example.org")


def _phrase(text: str, low: str, phrase: str) -> Iterator[Match]:
    words = _folded(phrase).split()
    if not words or words[0].lower() not in low:
        return
    short = len(words) == 1 and (len(words[0]) <= 5 or is_word(words[0]))
    joined = r"[\s~_.-]*".join(map(re.escape, words))
    pattern = rf"(?<!\w){joined}(?!\w)(?!\s+[Ll]icen[sc]e)"
    for match in re.finditer(pattern, text, 0 if short else re.I):
        if re.search(r"licen[sc]es?\W{0,4}$", text[max(0, match.start() - 14) : match.start()], re.I):
            continue  # the MIT license
        yield Match("given text", *match.span(), CERTAIN, "Anonymous")


@cache
def _token(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z]){re.escape(_folded(word))}(?![A-Za-z])", re.I)


@cache
def _folded(text: str) -> str:
    from assay.studies.anonymity.folding import plain

    return plain(text)


def _bare(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())
