"""Pictures with their pixels alone: everything that stands beside them is dropped, nothing is encoded again."""

from __future__ import annotations

import struct

_KEPT = frozenset((
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"bKGD", b"acTL",
    b"fcTL", b"fdAT",
))  # fmt: skip
"""PNG chunks that change how a picture looks."""
_SEGMENTS = frozenset((0xE0, 0xEE))
"""JPEG segments that do: JFIF, and Adobe's note on colours."""


def bare_png(data: bytes) -> bytes:
    """A PNG without texts, EXIF, times, and bytes after its end; a broken one as far as it goes."""
    pieces, at = [data[:8]], 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        if kind in _KEPT:
            pieces.append(data[at : at + 12 + size])
        at += 12 + size
        if kind == b"IEND":
            break
    return b"".join(pieces)


def bare_jpeg(data: bytes) -> bytes:
    """A JPEG without EXIF, XMP, IPTC, comments, and bytes after its end."""
    pieces, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:
            end = data.rfind(b"\xff\xd9")
            return b"".join([*pieces, data[at : end + 2 if end > at else len(data)]])
        profile = marker == 0xE2 and data[at + 4 : at + 15] == b"ICC_PROFILE"
        if marker in _SEGMENTS or not (0xE0 <= marker <= 0xEF or marker == 0xFE) or profile:
            pieces.append(data[at : at + 2 + size])
        at += 2 + max(size, 2)
    return b"".join([*pieces, data[at:]])
