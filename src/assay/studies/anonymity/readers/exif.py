"""EXIF and TIFF tags: who, with which device, where."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from assay.studies.anonymity.piece import Found, Item, Piece, Role, Unread
from assay.studies.anonymity.readers.markup import read_markup

_PEOPLE = {0x013B: "Artist", 0x8298: "Copyright", 0x9C9D: "XPAuthor", 0xA430: "CameraOwnerName", 0xFDE8: "OwnerName"}
_TEXTS = {
    0x010D: "DocumentName", 0x010E: "ImageDescription", 0x011D: "PageName", 0x0131: "Software",
    0x013C: "HostComputer", 0x9286: "UserComment",
    0x9C9B: "XPTitle", 0x9C9C: "XPComment", 0x9C9E: "XPKeywords", 0x9C9F: "XPSubject", 0xA434: "LensModel", 0x927C: "MakerNote",
}  # fmt: skip
_SERIALS = {0xA431: "BodySerialNumber", 0xA435: "LensSerialNumber", 0xC62F: "CameraSerialNumber"}
_FOLDERS = {0x8769, 0x8825, 0xA005}
_GPS, _XMP = 0x8825, 0x02BC
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MOST = 2000


def read_exif(data: bytes) -> Iterator[Item]:
    """The tags of a TIFF structure; folders that point in a circle are visited once."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        yield Unread("has broken EXIF data")
        return
    todo, seen = [struct.unpack_from(f"{order}I", data, 4)[0]], set[int]()
    while todo:
        at = todo.pop()
        if at in seen or not 0 < at <= len(data) - 2:
            continue
        seen.add(at)
        count = struct.unpack_from(f"{order}H", data, at)[0]
        end = at + 2 + 12 * count
        for entry in range(at + 2, min(end, len(data) - 11, at + 2 + 12 * _MOST), 12):
            tag, kind, n = struct.unpack_from(f"{order}HHI", data, entry)
            size = _SIZES.get(kind, 1) * n
            place = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            if tag in _FOLDERS:
                target = struct.unpack_from(f"{order}I", data, entry + 8)[0]
                todo.append(target)
                if tag == _GPS and 0 < target <= len(data) - 2 and struct.unpack_from(f"{order}H", data, target)[0] > 1:
                    yield Found("location", "GPS position", "EXIF GPS", 2)
            else:
                yield from _tag(tag, data[place : place + min(size, 1 << 20)])
        if 0 < end <= len(data) - 4 and len(seen) < 64:
            todo.append(struct.unpack_from(f"{order}I", data, end)[0])


def _tag(tag: int, value: bytes) -> Iterator[Item]:
    if tag == _XMP:
        yield from read_markup(value.decode("utf-8", "replace"))
        return
    text = _text(tag, value)
    if not text:
        return
    if tag in _PEOPLE:
        yield Piece(text, Role.PERSON, f"EXIF {_PEOPLE[tag]}")
    elif tag in _SERIALS:
        yield Found("device", f"{_SERIALS[tag]} {text}", f"EXIF {_SERIALS[tag]}", 1)
    elif tag in _TEXTS:
        yield Piece(text, Role.PROSE, f"EXIF {_TEXTS[tag]}")
        if tag == 0x013C:
            yield Found("host name", text, "EXIF HostComputer", 2)


def _text(tag: int, value: bytes) -> str:
    if 0x9C9B <= tag <= 0x9C9F:
        return value.decode("utf-16-le", "replace").strip("\0 ")
    if value[:8] in (b"ASCII\0\0\0", b"UNICODE\0"):
        value = value[8:]
    return value.decode("utf-8", "replace").strip("\0 ") if tag != 0x927C else value.decode("latin-1")
