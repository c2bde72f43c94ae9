"""Zip archives of a study, packed so that the same files give the same bytes, and unpacked as if a stranger had packed them.

Unpacking is in memory. A name is accepted if it is made of plain letters and lies in one of a bundle's places; everything
that a zip file can hold beside files is refused: paths that lead out, links, devices, names that are given twice or differ
in case only, encrypted or overlapping parts, other compressions, bytes before or after, sizes that are not those
announced, and amounts beyond `Limits`. One line says which.

Cost: reading the file once; memory grows with its content, which `Limits` bounds.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from assay.core.errors import UnsafeError
from assay.core.files import write_bytes

TIME = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can hold: when a bundle was packed says nothing."""
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_LOCAL, _LAST = b"PK\x03\x04", b"PK\x05\x06"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Limits:
    """The most that is unpacked."""

    archive: int = 2 << 30
    """Bytes of the archive itself."""
    files: int = 2000
    """Files in it."""
    each: int = 1 << 30
    """Bytes of one file, unpacked."""
    total: int = 4 << 30
    """Bytes of all files, unpacked."""
    ratio: int = 200
    """How many times its packed size a file of more than a megabyte may have."""


def pack(files: Mapping[str, bytes], path: Path) -> Path:
    """Write an archive, whole or not at all: sorted names, fixed times, no owners."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, TIME)
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(info, files[name], compresslevel=9)
    write_bytes(path, target.getvalue())
    return path


def unpack(path: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """The files of an archive, by name.

    Raises:
        UnsafeError: it is no zip file, or it holds something that a bundle never does; the message says what.
    """
    limits = limits or Limits()
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise _refused(path, "is not a file")
        if size > limits.archive:
            raise _refused(path, f"is {size:,} bytes long, more than {limits.archive:,}")
        data = path.read_bytes()
    except OSError as error:
        raise UnsafeError(f"Cannot read the bundle {path}: {error.strerror or error}.") from None
    if data[:4] != _LOCAL:
        raise _refused(path, "is not a zip archive from its first byte on")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            _check_whole(archive, members, data, path, limits)
            for each in members:
                _check_member(each, path, limits)
            return {each.filename: _content(archive, each, path) for each in members}
    except _BROKEN as error:
        raise _refused(path, f"is a broken zip archive ({_short(error)})") from None


def _check_whole(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], data: bytes, path: Path, limits: Limits
) -> None:
    if len(members) > limits.files:
        raise _refused(path, f"holds {len(members):,} files, more than {limits.files:,}")
    total = sum(each.file_size for each in members)
    if total > limits.total:
        raise _refused(path, f"unpacks to {total:,} bytes, more than {limits.total:,}")
    seen: set[str] = set()
    for each in members:
        if each.filename.lower() in seen:
            raise _refused(path, f"holds {_shown(each.filename)} twice")
        seen.add(each.filename.lower())
    if archive.comment or data[-22:-18] != _LAST:
        raise _refused(path, "has a comment or something else behind its end")
    ends = 0
    for each in sorted(members, key=lambda member: member.header_offset):
        if each.header_offset != ends:
            raise _refused(path, f"has parts that overlap or lie between files, at {_shown(each.filename)}")
        ends = _end(each, data)
    listed, begins = (int.from_bytes(data[at : at + 4], "little") for at in (len(data) - 10, len(data) - 6))
    if (ends, len(data) - 22) != (begins, begins + listed):
        raise _refused(path, "has something between its files and their list, or behind it")


def _end(member: zipfile.ZipInfo, data: bytes) -> int:
    """Where a file's part ends: header, name, extra field, content."""
    head = data[member.header_offset : member.header_offset + 30]
    if head[:4] != _LOCAL or len(head) < 30:
        raise zipfile.BadZipFile(f"no file begins where {_shown(member.filename)} should")
    name, extra = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    return member.header_offset + 30 + name + extra + member.compress_size


def _check_member(member: zipfile.ZipInfo, path: Path, limits: Limits) -> None:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    shown = _shown(name)
    if member.orig_filename != name or not _NAME.fullmatch(name) or ".." in name:
        raise _refused(path, f"holds {shown}, which is no plain name inside a bundle")
    if any(_RESERVED.fullmatch(part) or part.endswith(".") for part in name.split("/")):
        raise _refused(path, f"holds {shown}, a name that some systems take for something else")
    if kind not in (0, stat.S_IFREG):
        raise _refused(path, f"holds {shown}, which is a link, a folder or a device and not a file")
    if member.flag_bits & _ENCRYPTED:
        raise _refused(path, f"holds {shown}, which is encrypted")
    if member.flag_bits & 0x8:
        raise _refused(path, f"holds {shown}, whose size is not said before it")
    if member.compress_type not in _METHODS:
        raise _refused(path, f"holds {shown}, which is packed in a way that bundles are not")
    if member.file_size > limits.each:
        raise _refused(path, f"holds {shown}, which unpacks to {member.file_size:,} bytes, more than {limits.each:,}")
    if member.file_size > 1 << 20 and member.file_size > limits.ratio * max(member.compress_size, 1):
        raise _refused(
            path, f"holds {shown}, which unpacks to more than {limits.ratio} times its size, as zip bombs do"
        )


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
        if len(content) != member.file_size or file.read(1):
            raise _refused(path, f"holds {_shown(member.filename)}, whose size is not what it says")
    return content


def _refused(path: Path, why: str) -> UnsafeError:
    return UnsafeError(f"{path.name} {why}: refused. Ask for a bundle that `assay study bundle` has written.")


def _shown(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}…'"


def _short(error: BaseException) -> str:
    text = " ".join(ascii(str(error)).strip("'\"").split()) or type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}…"
