"""Pictures: what stands beside the pixels. PNG text, EXIF, XMP, IPTC, comments, and bytes after the end."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.piece import Found, Item, Limits, Piece, Role, Unread
from assay.studies.anonymity.readers.binary import read_binary
from assay.studies.anonymity.readers.exif import read_exif
from assay.studies.anonymity.readers.markup import read_markup

_PEOPLE = re.compile(r"author|artist|creator|copyright|owner|by-?line|credit|contact", re.I)
_IPTC = {
    80: "by-line",
    85: "by-line title",
    110: "credit",
    115: "source",
    116: "copyright",
    118: "contact",
    122: "writer",
}
_LONGEST = 1 << 22


def read_png(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """PNG: chunks tEXt, zTXt, iTXt, eXIf."""
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if at + 12 + size > len(data):
            yield Unread("is a PNG picture that ends too early")
            return
        at += 12 + size
        try:
            yield from _png_chunk(kind, body)
        except zlib.error as error:
            yield Unread(f"has a broken text in its PNG chunks: {error}")
        if kind == b"IEND":
            break
    if len(data) > at:
        yield from read_binary(data[at:], name, limits)


def _png_chunk(kind: bytes, body: bytes) -> Iterator[Item]:
    key, _, rest = body.partition(b"\0")
    label = f"PNG {kind.decode('latin-1')} '{key.decode('latin-1', 'replace')[:80]}'"
    if kind == b"tEXt":
        yield from _text(key.decode("latin-1"), rest.decode("latin-1"), label)
    elif kind == b"zTXt":
        yield from _text(key.decode("latin-1"), _inflate(rest[1:]).decode("latin-1"), label)
    elif kind == b"iTXt":
        packed, rest = rest[:1], rest[2:]
        value = rest.split(b"\0", 2)[-1]
        yield from _text(
            key.decode("latin-1"), (_inflate(value) if packed == b"\1" else value).decode("utf-8", "replace"), label
        )
    elif kind == b"eXIf":
        yield from read_exif(body)


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _LONGEST)


def _text(key: str, value: str, label: str) -> Iterator[Item]:
    if "xmp" in key.lower() or value.lstrip().startswith("<"):
        yield from _placed(read_markup(value), label)
        return
    yield Piece(value, Role.PERSON if _PEOPLE.search(key) else Role.PROSE, label)
    if "profile type" in key.lower() and (raw := re.sub(r"[^0-9a-fA-F]", "", value.partition("\n")[2][8:])):
        yield Piece(bytes.fromhex(raw[: len(raw) // 2 * 2]).decode("latin-1"), Role.BINARY, label)


def _placed(items: Iterator[Item], label: str) -> Iterator[Item]:
    for each in items:
        if isinstance(each, Piece):
            # lines of a packet inside a picture help nobody
            yield Piece(each.text, each.role, f"{label}, {each.place.partition(', ')[2]}".rstrip(", "))
        else:
            yield each


def read_jpeg(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """JPEG: the segments before the pixels, and bytes after the end."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        size = struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : at + 2 + size]
        at += 2 + max(size, 2)
        if marker == 0xDA:
            break
        if marker == 0xFE:
            yield Piece(body.decode("utf-8", "replace"), Role.PROSE, "JPEG comment")
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            yield from read_exif(body[6:])
        elif marker == 0xE1 and b"<" in body:
            yield from _placed(read_markup(body[body.find(b"<") :].decode("utf-8", "replace")), "XMP")
        elif marker == 0xED:
            yield from _iptc(body)
        elif 0xE2 <= marker <= 0xEF:
            yield from read_binary(body, name, limits)
    end = data.rfind(b"\xff\xd9")
    if end > 0 and len(data) > end + 2:
        yield from read_binary(data[end + 2 :], name, limits)


def _iptc(body: bytes) -> Iterator[Item]:
    for match in re.finditer(rb"\x1c\x02(.)(..)", body, re.S):
        size = struct.unpack(">H", match[2])[0]
        value = body[match.end() : match.end() + size].decode("utf-8", "replace")
        label = _IPTC.get(match[1][0])
        yield Piece(value, Role.PERSON if label else Role.PROSE, f"IPTC {label or match[1][0]}")


def read_gif(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """GIF: comments and application blocks."""
    for match in re.finditer(rb"\x21(?:\xfe|\xff\x0bXMP DataXMP)", data):
        at, pieces = match.end(), []
        if match[0][1] == 0xFF:
            packet = data[at:].partition(b"<?xpacket end")[0]
            yield from _placed(read_markup(packet.decode("utf-8", "replace")), "XMP")
            continue
        while at < len(data) and data[at]:
            pieces.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        yield Piece(b"".join(pieces).decode("utf-8", "replace"), Role.PROSE, "GIF comment")


def read_webp(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """WebP: chunks EXIF and XMP."""
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
        if kind == b"EXIF":
            yield from read_exif(body.removeprefix(b"Exif\0\0"))
        elif kind == b"XMP ":
            yield from _placed(read_markup(body.decode("utf-8", "replace")), "XMP")
    if len(data) < 12 or at < len(data) - 8:
        yield Found("hidden text", "bytes after the end of the picture", "", 1)


def read_tiff(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """TIFF: its tags are those of EXIF."""
    yield from read_exif(data)
