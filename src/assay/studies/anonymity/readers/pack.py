"""Git's pack format: objects one after another, each compressed, some as differences from others.

Read from the front without its index, as git itself does when it receives one (gitformat-pack). Memory grows with the
unpacked objects, which `Limits` bounds.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from assay.studies.anonymity.piece import Limits

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET, _REFERENCE = 6, 7


@dataclass(frozen=True)
class Packed:
    """One object."""

    sha: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class _Delta:
    base: int | str
    """Where the base is: an offset in the pack, or a hash."""
    data: bytes


class _BrokenPackError(ValueError):
    """The pack is not as the format says."""


def read_pack(data: bytes, limits: Limits, unread: list[str]) -> Iterator[Packed]:
    """All objects of a pack that can be rebuilt; what can't is told in `unread`."""
    whole: dict[int, Packed] = {}
    by_sha: dict[str, Packed] = {}
    deltas: dict[int, _Delta] = {}
    try:
        for offset, kind, content in _entries(data, limits):
            if isinstance(content, _Delta):
                deltas[offset] = content
            else:
                whole[offset] = _packed(kind, content)
                by_sha[whole[offset].sha] = whole[offset]
    except (_BrokenPackError, zlib.error, struct.error, IndexError) as error:
        unread.append(f"is a broken git pack: {error}")
    yield from list(whole.values())
    while deltas:
        ready = {at: base for at, each in deltas.items() if (base := _base(each, whole, by_sha)) is not None}
        if not ready:
            unread.append(f"holds {len(deltas)} git objects that differ from objects that are not in it")
            return
        for at, base in ready.items():
            try:
                made = _packed(base.kind, apply(base.data, deltas.pop(at).data, limits))
            except (_BrokenPackError, IndexError) as error:
                unread.append(f"holds a broken git object: {error}")
                continue
            whole[at] = by_sha[made.sha] = made
            yield made


def _base(delta: _Delta, whole: dict[int, Packed], by_sha: dict[str, Packed]) -> Packed | None:
    return whole.get(delta.base) if isinstance(delta.base, int) else by_sha.get(delta.base)


def _packed(kind: str, data: bytes) -> Packed:
    return Packed(blob_sha(data, kind), kind, data)


def blob_sha(data: bytes, kind: str = "blob") -> str:
    """The name that git gives to a content."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _entries(data: bytes, limits: Limits) -> Iterator[tuple[int, str, bytes | _Delta]]:
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"PACK" or version not in (2, 3):
        raise _BrokenPackError(f"version {version}")
    at = 12
    for _ in range(count):
        start = at
        byte = data[at]
        at += 1
        code, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            byte = data[at]
            size |= (byte & 127) << shift
            shift += 7
            at += 1
        base: int | str | None = None
        if code == _OFFSET:
            back, at = _back(data, at)
            base = start - back
        elif code == _REFERENCE:
            base = data[at : at + 20].hex()
            at += 20
        elif code not in _KINDS:
            raise _BrokenPackError(f"an object of kind {code} at byte {start}")
        if size > limits.each or not limits.take(size):
            raise _BrokenPackError(f"more than is unpacked, from byte {start} on")
        stream = zlib.decompressobj()
        content = stream.decompress(data[at:], size + 1)
        if not stream.eof:
            stream.decompress(stream.unconsumed_tail, 64)
        if len(content) != size or not stream.eof:
            raise _BrokenPackError(f"an object of another size than it says, at byte {start}")
        at = len(data) - len(stream.unused_data)
        yield start, _KINDS.get(code, ""), content if base is None else _Delta(base, content)


def _back(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    back = byte & 127
    while byte & 128:
        at += 1
        byte = data[at]
        back = (back + 1) << 7 | byte & 127
    return back, at + 1


def _size(data: bytes, at: int) -> tuple[int, int]:
    size, shift = 0, 0
    while True:
        byte = data[at]
        size |= (byte & 127) << shift
        shift += 7
        at += 1
        if not byte & 128:
            return size, at


def apply(base: bytes, delta: bytes, limits: Limits) -> bytes:
    """Rebuild an object from its base: pieces copied from it, and pieces that are new."""
    expected, at = _size(delta, 0)
    size, at = _size(delta, at)
    if expected != len(base):
        raise _BrokenPackError("a difference from another object")
    if size > limits.each or not limits.take(size):
        raise _BrokenPackError("more than is unpacked")
    made = bytearray()
    while at < len(delta):
        code = delta[at]
        at += 1
        if code & 128:
            offset = length = 0
            for i in range(7):
                if code & 1 << i:
                    if i < 4:
                        offset |= delta[at] << 8 * i
                    else:
                        length |= delta[at] << 8 * (i - 4)
                    at += 1
            made += base[offset : offset + (length or 0x10000)]
        elif code:
            made += delta[at : at + code]
            at += code
        else:
            raise _BrokenPackError("an unknown instruction")
        if len(made) > size:
            raise _BrokenPackError("a difference that grows beyond its size")
    if len(made) != size:
        raise _BrokenPackError("a difference of another size than it says")
    return bytes(made)
