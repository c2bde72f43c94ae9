"""Small pictures with metadata, made by hand."""

from __future__ import annotations

import struct
import zlib


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, after: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND", b"") + after


def text(key: str, value: str) -> bytes:
    return chunk(b"tEXt", key.encode() + b"\0" + value.encode("latin-1"))


def packed_text(key: str, value: str) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(value.encode("latin-1")))


def long_text(key: str, value: str) -> bytes:
    return chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + value.encode())


def tiff(tags: dict[int, str | bytes], gps: bool = False) -> bytes:
    """A TIFF structure with texts, as EXIF has them."""
    entries, tail = [], b""
    count = len(tags) + gps
    base = 8 + 2 + 12 * count + 4
    for tag, value in sorted(tags.items()):
        data = value if isinstance(value, bytes) else value.encode() + b"\0"
        data += b"\0" * max(0, 5 - len(data))
        entries.append(struct.pack("<HHII", tag, 1 if isinstance(value, bytes) else 2, len(data), base + len(tail)))
        tail += data
    if gps:
        entries.append(struct.pack("<HHII", 0x8825, 4, 1, base + len(tail)))
        tail += (
            struct.pack("<H", 2)
            + struct.pack("<HHI4s", 1, 2, 2, b"N\0\0\0")
            + struct.pack("<HHI4s", 2, 5, 3, b"\0\0\0\0")
            + b"\0\0\0\0"
        )
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count) + b"".join(entries) + b"\0\0\0\0" + tail


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes, after: bytes = b"") -> bytes:
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xda\0\x02\0\xff\xd9" + after


def exif(tags: dict[int, str | bytes], gps: bool = False) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(tags, gps))


def iptc(number: int, value: str) -> bytes:
    data = b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(value)) + value.encode()
    return segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(data)) + data)


def webp(exif_data: bytes) -> bytes:
    body = b"VP8 " + struct.pack("<I", 4) + b"\0\0\0\0" + b"EXIF" + struct.pack("<I", len(exif_data)) + exif_data
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif(comment: str) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
        + b"\x21\xfe"
        + bytes([len(comment)])
        + comment.encode()
        + b"\0;"
    )
