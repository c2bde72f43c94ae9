"""Archives, in memory: zip (and what is built on it), tar, gzip, bzip2, xz. Nothing is written to the disk.

Names that lead out, links, encrypted parts and what unpacks to many times its size are refused, each with one line.
"""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.machine import somebody
from assay.studies.anonymity.piece import Found, Inner, Item, Limits, Piece, Role, Unread

BOMB = 250
"""How many times its size a large file may unpack to."""
SMALL = 1 << 20
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
    RuntimeError, NotImplementedError, OverflowError, KeyError, IndexError,
)  # fmt: skip


def read_zip(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A zip archive, or a file of an office suite."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield Piece(archive.comment.decode("utf-8", "replace"), Role.PROSE, "the archive's comment")
            for info in archive.infolist():
                yield from _zipped(archive, info, limits)
                if limits.files <= 0:
                    yield Unread("holds more files than a check looks at")
                    return
    except BROKEN as error:
        yield Unread(f"is a broken zip archive: {_short(error)}")


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> Iterator[Item]:
    yield Piece(info.comment.decode("utf-8", "replace"), Role.PROSE, f"the comment of {info.filename}")
    if info.is_dir():
        yield Piece(info.filename, Role.PATH, "name of a folder")
        return
    mode = info.external_attr >> 16
    why = _refused(info.filename, info.file_size, info.compress_size, limits)
    if info.flag_bits & 1:
        why = "is encrypted: it cannot be looked at"
    if why:
        yield Unread(why, info.filename)
        return
    try:
        with archive.open(info) as file:
            content = file.read(info.file_size + 1)
    except BROKEN as error:
        yield Unread(f"cannot be unpacked: {_short(error)}", info.filename)
        return
    if stat.S_ISLNK(mode):
        yield from _linked(info.filename, content.decode("utf-8", "replace"))
    else:
        yield Inner(info.filename, content)


def read_tar(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A tar archive, with the owners that it remembers."""
    owners: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                for owner in {info.uname, info.gname} - owners:
                    owners.add(owner)
                    if somebody(owner) and owner not in ("wheel", "staff", "users"):
                        yield Found("account", owner, "owner of files in the archive", 3)
                yield from _tarred(archive, info, limits)
                if limits.files <= 0:
                    yield Unread("holds more files than a check looks at")
                    return
    except BROKEN as error:
        yield Unread(f"is a broken tar archive: {_short(error)}")


def _tarred(archive: tarfile.TarFile, info: tarfile.TarInfo, limits: Limits) -> Iterator[Item]:
    for key, value in info.pax_headers.items():
        if key not in ("path", "linkpath", "mtime", "atime", "ctime", "size", "uname", "gname"):
            yield Piece(f"{key}={value}", Role.DATA, f"header of {info.name}")
    if info.issym() or info.islnk():
        yield from _linked(info.name, info.linkname)
    elif info.isdir():
        yield Piece(f"/{info.name}", Role.PATH, "name of a folder")
    elif not info.isreg():
        yield Unread("is a device or a pipe: refused", info.name)
    elif why := _refused(info.name, info.size, info.size, limits):
        yield Unread(why, info.name)
    elif (file := archive.extractfile(info)) is not None:
        yield Inner(info.name, file.read(info.size))


def _linked(name: str, target: str) -> Iterator[Item]:
    yield Piece(target, Role.PATH, f"where the link {name} leads")
    if leads_out(str(PurePosixPath(name).parent / target)) or target.startswith("/"):
        yield Unread("is a symbolic link out of the archive: refused", name)


def _refused(name: str, size: int, packed: int, limits: Limits) -> str:
    """Why a member is not unpacked; empty when it may be, and then it is counted."""
    if leads_out(name):
        return f"'{name[:80]}' leads out of the archive: refused"
    if size > SMALL and size > BOMB * max(packed, 1):
        return f"unpacks to {size // max(packed, 1)} times its size ({size >> 20} MB): refused, as zip bombs do that"
    if size > limits.each:
        return f"is {size >> 20} MB long inside an archive: more than is unpacked"
    return "" if limits.take(size) else "comes after more bytes or files than a check unpacks"


def leads_out(name: str) -> bool:
    """Whether a path inside an archive would end up outside of it."""
    parts = name.replace("\\", "/").split("/")
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return name.startswith(("/", "\\")) or name[1:3] in (":\\", ":/")


def read_compressed(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """One file, compressed; often a tar archive."""
    try:
        content, whole = _unpacked(data, min(4 * limits.each, limits.bytes))
    except BROKEN as error:
        yield Unread(f"is a broken compressed file: {_short(error)}")
        return
    if len(content) > SMALL and len(content) > BOMB * len(data):
        yield Unread(f"unpacks to over {len(content) // len(data)} times its size: refused, as zip bombs do that")
        return
    if not whole:
        yield Unread(f"unpacks to more than {len(content) >> 20} MB: only its beginning was looked at")
    limits.take(len(content))
    if data[:2] == b"\x1f\x8b" and data[3:4] >= b"\x08" and data[3] & 8:
        yield Piece(data[10:512].partition(b"\0")[0].decode("latin-1"), Role.PATH, "the name that it was packed with")
    inner = name.name[: -len(name.suffix)] if name.suffix in (".gz", ".bz2", ".xz", ".tgz") else name.name
    yield Inner(inner or "content", content)


def _unpacked(data: bytes, most: int) -> tuple[bytes, bool]:
    """The content up to `most` bytes, and whether that is all; members one after another are all unpacked."""
    pieces: list[bytes] = []
    size, rest = 0, data
    while rest and size < most:
        if rest[:2] == b"\x1f\x8b":
            gz = zlib.decompressobj(zlib.MAX_WBITS | 16)
            pieces.append(gz.decompress(rest, most - size))
            done, rest = gz.eof, gz.unused_data
        else:
            other = bz2.BZ2Decompressor() if rest[:3] == b"BZh" else lzma.LZMADecompressor()
            pieces.append(other.decompress(rest, most - size))
            done, rest = other.eof, other.unused_data
        size += len(pieces[-1])
        if not done:
            return b"".join(pieces), size < most
        if rest[:2] not in (b"\x1f\x8b", b"BZ", b"\xfd7"):
            break
    return b"".join(pieces), size < most


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."
