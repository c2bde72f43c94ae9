"""PDF: the text of each page, every string in every object, XMP, files inside, pictures' metadata, and earlier versions.

All objects are walked, those too that no page uses: authors in /Info, notes and their writers, links, form fields, paths
that TeX leaves (/PTEX.FileName), texts for screen readers. A file that was saved again still holds its earlier versions.

Cost: about half a second for each page. Letters in scanned pictures, or drawn as outlines, are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from assay.core.errors import InputError
from assay.core.extras import has
from assay.studies.anonymity.names import is_word
from assay.studies.anonymity.piece import Found, Inner, Item, Limits, Piece, Role, Unread
from assay.studies.anonymity.readers.markup import read_markup
from assay.studies.anonymity.wording import find_affiliations
from assay.studies.paper.opening import broken, open_pdf, quiet

if TYPE_CHECKING:
    from pypdf import PdfReader

_PEOPLE = {"/Author", "/T", "/Creator_", "/AAPL:Author", "/Company", "/Manager", "/SourceModified_"}
_LINKS = {"/URI", "/F", "/UF"}
_NAME = r"[A-Z][\w'’-]+(?: [A-Z]\.)?(?: [a-z]{2,3})? [A-Z][\w'’-]+[\d∗*†‡,]*"
_AUTHORS = re.compile(rf"{_NAME}(?:\s*(?:,|and|&|\s)\s*{_NAME})*")
_MOST_OBJECTS = 200_000
_MOST_VERSIONS = 5
_DEEP = 40


def read_pdf(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A PDF and its earlier versions."""
    if not has("pypdf"):
        yield Unread("is a PDF, which needs 'pypdf' to be read: pip install 'assay[paper]'")
        return
    ends = [match.end() for match in re.finditer(rb"%%EOF\s?", data)][:-1]
    with quiet():
        yield from _version(data, name, limits, "")
        for number, end in enumerate(ends[-_MOST_VERSIONS:], 1):
            for item in _version(data[:end], name, limits, f"earlier version {number}, "):
                if not isinstance(item, Unread):  # the first part of a file made for the web is none by itself
                    yield item


def _version(data: bytes, name: PurePosixPath, limits: Limits, prefix: str) -> Iterator[Item]:
    try:
        reader = open_pdf(data, "it")
    except InputError as error:
        yield Unread(str(error).removeprefix("it "))
        return
    texts: list[str] = []
    failed: list[int] = []
    for number in range(1, len(reader.pages) + 1):
        try:
            text = reader.pages[number - 1].extract_text()
        except broken():
            failed.append(number)
            continue
        texts.append(text)
        yield Piece(text, Role.PAGE, f"{prefix}page {number}")
    if texts:
        yield from _title(texts[0], prefix)
        if not "".join(texts).strip() and not prefix:
            yield Unread("has no text that can be read: its pages are pictures or outlines")
    if failed:
        yield Unread(f"has {len(failed)} pages whose text can't be read, the first is page {failed[0]}")
    yield from _objects(reader, prefix, limits)


def _title(text: str, prefix: str) -> Iterator[Item]:
    """Names and affiliations between the title and the abstract."""
    head = re.split(r"^\s*Abstract\b|A\s?BSTRACT", text, maxsplit=1, flags=re.M | re.I)
    if len(head) == 2 and len(head[0]) < 3000 and "anonymous" not in head[0].lower():
        for row in head[0].splitlines()[1:]:
            if _AUTHORS.fullmatch(row.strip()) and not all(
                is_word(word) for word in re.findall(r"[A-Z][a-z]{2,}", row)
            ):
                yield Found("author block", row.strip(), f"{prefix}page 1", 1)
        for match in find_affiliations(head[0]):
            yield Found("affiliation", " ".join(head[0][match.start : match.end].split())[:100], f"{prefix}page 1", 2)


def _objects(reader: PdfReader, prefix: str, limits: Limits) -> Iterator[Item]:
    from pypdf.generic import IndirectObject

    size = int(reader.trailer.get("/Size", 0) or 0)
    numbers = {number for table in reader.xref.values() for number in table} | set(reader.xref_objStm)
    bad = 0
    yield from _strings(reader.trailer.get("/Info"), "/Info", f"{prefix}document information")
    for number in sorted(numbers)[:_MOST_OBJECTS]:
        try:
            thing = reader.get_object(IndirectObject(number, 0, reader))
            yield from _strings(thing, "", f"{prefix}object {number}")
            yield from _stream(thing, f"{prefix}object {number}", limits)
        except broken():
            bad += 1
    if bad and not prefix:
        yield Unread(f"has {bad} of {max(size, len(numbers))} objects that can't be read")


def _strings(thing: Any, key: str, place: str) -> Iterator[Item]:
    """Every string in an object, without following references: those are objects of their own."""
    from pypdf.generic import (
        ArrayObject,
        ByteStringObject,
        DictionaryObject,
        IndirectObject,
        NameObject,
        TextStringObject,
    )

    todo: list[tuple[Any, str, Any, int]] = [
        (thing.get_object() if key == "/Info" and thing is not None else thing, key, None, 0)
    ]
    while todo:
        value, name, owner, depth = todo.pop()
        if depth > _DEEP or isinstance(value, IndirectObject):
            continue
        if isinstance(value, DictionaryObject):
            todo += [(each, str(inner), value, depth + 1) for inner, each in dict.items(value)]
        elif isinstance(value, ArrayObject):
            todo += [(each, name, owner, depth + 1) for each in list.__iter__(value)]
        elif isinstance(value, TextStringObject | ByteStringObject | NameObject) and len(value) > 2:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            yield Piece(text, _role(name, text, owner), f"{place} {name}".strip())


def _role(name: str, text: str, owner: Any) -> Role:
    if (
        name == "/T"
        and "/Subtype" in (owner or {})
        and owner.get("/Subtype") not in ("/Widget",)
        and "/FT" not in owner
    ):
        return Role.PERSON  # who wrote a note
    if name in ("/Author", "/AAPL:Author", "/Company", "/Manager"):
        return Role.PERSON
    return (
        Role.PATH
        if name in ("/PTEX.FileName", "/F", "/UF")
        else Role.PROSE
        if name in ("/Contents", "/Alt", "/ActualText")
        else Role.CODE
    )


def _stream(thing: Any, place: str, limits: Limits) -> Iterator[Item]:
    """XMP, files inside, and pictures with metadata of their own."""
    from pypdf.generic import StreamObject

    if not isinstance(thing, StreamObject):
        return
    kind, subtype = dict.get(thing, "/Type"), dict.get(thing, "/Subtype")
    if kind == "/Metadata" or subtype == "/XML":
        for item in read_markup(thing.get_data().decode("utf-8", "replace")):
            yield (
                Piece(item.text, item.role, f"{place}, XMP {item.place.partition(', ')[2]}".strip())
                if isinstance(item, Piece)
                else item
            )
    elif kind == "/EmbeddedFile" or (kind is None and subtype is None and "/Params" in thing):
        content = thing.get_data()
        if limits.take(len(content)):
            yield Inner(f"{place} (a file inside)", content)
        else:
            yield Unread("holds a file that is larger than what is unpacked", place)
    elif subtype == "/Image" and "/DCTDecode" in str(dict.get(thing, "/Filter")):
        raw = getattr(thing, "_data", b"")
        if isinstance(raw, bytes) and raw[:2] == b"\xff\xd8" and limits.take(len(raw)):
            yield Inner(f"{place} (a picture).jpg", raw)
    elif "/JS" in thing or dict.get(thing, "/S") == "/JavaScript":
        yield Piece(thing.get_data().decode("latin-1"), Role.CODE, f"{place}, script")
