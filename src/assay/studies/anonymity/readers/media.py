"""Sound and film: who made it, with what and where, as MP3, WAV, FLAC, Ogg, MP4 and MOV note it beside what is heard and seen.

A supplement's film is often a recording of a screen or of a telephone, which notes the artist, the device and the place. Only
the tags are looked for, by the marks that stand before them; what the film shows is not seen. Cost: one search for each mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.piece import Found, Item, Limits
from assay.studies.anonymity.readers.binary import read_binary

MOST = 50
"""Tags of one file that are told."""
_LONGEST = 300
_FRAME = re.compile(rb"(?:TPE[1-4]|TCOM|TEXT|TOWN|TENC|TCOP|TOPE)(?P<size>[\0-\x7f]{4})..(?P<coding>[\0-\3])", re.S)
_CHUNK = re.compile(rb"(?:IART|ICOP|ICMS|ITCH|IENG)(?P<size>.{4})", re.S)
_ATOM = re.compile(
    rb"(?P<name>\xa9(?:ART|aut|wrt|cpy|dir|prd)|aART)(?:.{4}data.{8}|(?P<size>..)..)(?P<text>[^\0]{2,300})", re.S
)
_VORBIS = re.compile(rb"(?:ARTIST|PERFORMER|COMPOSER|AUTHOR|COPYRIGHT|ORGANIZATION|CONTACT)=", re.I)
_PLACE = re.compile(rb"(?:\xa9xyz.{0,8}?|ISO6709.{0,200}?)(?P<text>[+-]\d{2}(?:\.\d+)?[+-]\d{3}(?:\.\d+)?)", re.S)
_CODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def is_media(data: bytes) -> bool:
    """Whether the first bytes are those of sound or film."""
    return (
        data.startswith((b"ID3", b"fLaC", b"OggS"))
        or data[4:8] == b"ftyp"
        or (data[:4] == b"RIFF" and data[8:12] in (b"WAVE", b"AVI "))
    )


def read_media(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """What the tags say of who and where, and all letters as in a file of unknown format."""
    told = [text for text in dict.fromkeys(_texts(data)) if names_somebody(text)]
    yield from (Found("author field", text, "its tags", 2) for text in told[:MOST])
    if place := _PLACE.search(data):
        yield Found("location", place["text"].decode("ascii"), "its tags", 2)
    yield from read_binary(data, name, limits)


def _texts(data: bytes) -> Iterator[str]:
    for frame in _FRAME.finditer(data):
        raw = _part(data, frame.end(), int.from_bytes(frame["size"], "big") - 1)
        yield _shown(raw, _CODINGS[frame["coding"][0]])
    for chunk in _CHUNK.finditer(data):
        yield _shown(_part(data, chunk.end(), int.from_bytes(chunk["size"], "little")), "utf-8")
    for note in _VORBIS.finditer(data):
        start = note.start()
        raw = _part(data, start, int.from_bytes(data[max(0, start - 4) : start], "little"))
        yield _shown(raw.partition(b"=")[2], "utf-8")
    for atom in _ATOM.finditer(data):
        size = None if atom["size"] is None else int.from_bytes(atom["size"], "big")
        yield _shown(atom["text"][:size], "utf-8")


def _part(data: bytes, start: int, size: int) -> bytes:
    return data[start : start + min(max(size, 0), _LONGEST)]


def _shown(raw: bytes, coding: str) -> str:
    """The text as far as it is one."""
    text = raw.decode(coding, "ignore").partition("\0")[0]
    return " ".join("".join(sign for sign in text if sign.isprintable()).split())[:80]
