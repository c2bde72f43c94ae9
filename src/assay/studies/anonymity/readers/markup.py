"""XML, SVG, HTML and the insides of office files: text with and without its tags, creators, pictures inside."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice

from assay.studies.anonymity.piece import Inner, Item, Piece, Role

MOST = 2000
"""Creators that are looked at in one document."""
_TAG = re.compile(r"<[^<>]{0,4000}>")
_PARAGRAPH = re.compile(r"</(?:w:p|a:p|text:p|p|div|li|h\d|tr)>|<(?:br|w:br)\s*/?>", re.I)
_CREATOR = re.compile(
    r"<(?P<tag>dc:creator|dc:contributor|dc:publisher|dc:rights|cc:license_holder|cp:lastModifiedBy"
    r"|meta:initial-creator|pdf:Author|"
    r"photoshop:AuthorsPosition|photoshop:Credit|photoshop:Source|xmpRights:Owner|tiff:Artist|exif:OwnerName"
    r"|aux:OwnerName|LastAuthor|Author|Company|Manager|"
    r"xmpMM:ManageTo|plus:ImageCreatorName|Iptc4xmpCore:CreatorContactInfo"
    r"|author)\b[^>]{0,200}>(?P<value>.{0,1000}?)</(?P=tag)>",
    re.S,
)
_ATTRIBUTE = re.compile(
    r"\b(?P<key>w:author|w15:author|pdf:Author|tiff:Artist|xmpRights:Owner|aux:OwnerName|photoshop:Credit"
    r"|office:author|lastModifiedBy|dc:creator|text:author-name)="
    r"([\"'])(?P<value>[^\"'<>]{1,200})\2"
)
_META = re.compile(
    r"<meta\b(?=[^>]*\b(?:name|property)=[\"']?(?:author|creator|dc\.creator|article:author|citation_author"
    r"|twitter:creator|byl|copyright)\b)[^>]*\bcontent=([\"'])(?P<value>[^\"'<>]{1,200})\1",
    re.I,
)
_DEVELOPER = re.compile(
    r"<(?P<tag>developer|contributor)>(?:(?!</?(?:developer|contributor)>).){0,400}?<name>(?P<value>[^<]{2,100})</name>",
    re.S,
)
_DATA_URI = re.compile(r"data:(?P<type>[\w/+.-]{3,60})(?:;[\w=-]{1,40}){0,3};base64,(?P<data>[A-Za-z0-9+/=\s%]{16,})")


def read_markup(text: str) -> Iterator[Item]:
    """A document with tags."""
    uris = list(_DATA_URI.finditer(text))
    bare = _DATA_URI.sub(lambda match: " " * len(match[0]), text) if uris else text
    yield Piece(bare, Role.CODE, lines=True)
    shown = _TAG.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), bare)
    yield Piece(shown, Role.PROSE, lines=True)
    if "<w:" in bare or "<a:t" in bare or "<text:span" in bare:
        yield Piece(_TAG.sub("", _PARAGRAPH.sub("\n", bare)), Role.PROSE, "its text", lines=False)
    for pattern in (_CREATOR, _ATTRIBUTE, _META, _DEVELOPER):
        for match in islice(pattern.finditer(bare), MOST):
            label = match.groupdict().get("tag") or match.groupdict().get("key") or "meta"
            value = " ".join(_TAG.sub(" ", match["value"]).split())
            yield Piece(value, Role.PERSON, f"line {bare.count(chr(10), 0, match.start()) + 1}, {label}")
    yield from data_uris(text)


def bare_markup(text: str) -> str:
    """A document without its metadata and comments, and with nobody as its creator."""
    text = re.sub(r"<metadata\b[^>]*>.*?</metadata\s*>|<!--.*?-->", "", text, flags=re.S)
    for pattern in (_CREATOR, _ATTRIBUTE, _META, _DEVELOPER):
        text = pattern.sub(
            lambda match: match[0].replace(match["value"], "Anonymous") if match["value"] else match[0], text
        )
    return text


def data_uris(text: str) -> Iterator[Inner]:
    """Files that are written into a text as data: URIs."""
    for number, match in enumerate(_DATA_URI.finditer(text), 1):
        if (data := from_base64(match["data"])) is not None:
            end = match["type"].rpartition("/")[2].partition("+")[0].replace("jpeg", "jpg")
            yield Inner(f"data-{number}.{end}", data)


def from_base64(text: str) -> bytes | None:
    """The bytes, or None when it is no base64."""
    bare = re.sub(r"\s|%0A", "", text)
    try:
        return base64.b64decode(bare[: len(bare) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return None
