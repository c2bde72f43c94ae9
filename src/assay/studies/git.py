"""Which commit the working directory is at, and whether tracked files differ from it: read from git's files.

Git itself is not started: a repository's configuration can name programs that it would run (hooks, a file system monitor,
filters, a credential helper), and a study may be run in a repository that somebody else wrote. What is read is HEAD, the
refs, and the index (versions 2 to 4, gitformat-index); files whose size and time are those of the index are taken for
unchanged, as git does, the others are hashed: one that a filter turns into something else then counts as changed. Untracked
files don't count. What can't be told this way (a submodule, what is staged on top of a packed commit) is None, not False.

Cost: one stat for each tracked file, and one hash for each that was touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST = 64 << 20
"""Bytes of an index, or of a file that is hashed."""
_SUBMODULE, _LINK = 0o160000, 0o120000


@dataclass(frozen=True)
class Checkout:
    """A commit, and whether the tracked files differ from it (None: that can't be told)."""

    commit: str
    dirty: bool | None

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def checkout(folder: Path) -> Checkout | None:
    """The checkout that a folder lies in; None where there is none, or nothing is committed."""
    try:
        found = _repository(folder.resolve())
        commit = None if found is None else _head(found[1])
    except (OSError, ValueError):  # unreadable or damaged: then there is nothing to say
        return None
    if found is None or commit is None:
        return None
    try:
        return Checkout(commit, _dirty(*found, commit))
    except (OSError, ValueError, IndexError, struct.error, zlib.error):
        return Checkout(commit, None)


def _repository(folder: Path) -> tuple[Path, Path] | None:
    """The working tree, and its git folder; a worktree's `.git` is a file that says where that is."""
    for top in (folder, *folder.parents):
        place = top / ".git"
        if place.is_dir():
            return top, place
        if place.is_file():
            text = place.read_text(encoding="utf-8").strip()
            return (top, (top / text.removeprefix("gitdir:").strip()).resolve()) if text.startswith("gitdir:") else None
    return None


def _shared(git: Path) -> Path:
    """Where refs and objects are: a worktree shares those of the main one."""
    name = git / "commondir"
    return (git / name.read_text(encoding="utf-8").strip()).resolve() if name.is_file() else git


def _head(git: Path) -> str | None:
    text = (git / "HEAD").read_text(encoding="ascii").strip()
    for _ in range(5):  # a symbolic ref may lead to another
        if _COMMIT.fullmatch(text):
            return text
        name = text.removeprefix("ref:").strip()
        if not re.fullmatch(r"refs/[\w./+@-]+", name) or ".." in name:
            return None
        text = _ref(git, name)
        if not text:
            return None
    return None


def _ref(git: Path, name: str) -> str:
    for place in (git / name, _shared(git) / name):
        if place.is_file():
            return place.read_text(encoding="ascii").strip()
    packed = _shared(git) / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")


def _dirty(top: Path, git: Path, commit: str) -> bool | None:
    index = git / "index"
    if not index.is_file() or index.stat().st_size > _MOST:
        return None
    data = index.read_bytes()
    entries, end = _entries(data, len(commit) // 2)
    unsure = False
    for entry in entries:
        changed = _changed(top / os.fsdecode(entry.name), entry)
        if changed:
            return True
        unsure |= changed is None
    staged = _staged(data[end:], git, commit)
    return True if staged else None if staged is None or unsure else False


@dataclass(frozen=True)
class _Entry:
    name: bytes
    mode: int
    size: int
    seconds: int
    nanoseconds: int
    sha: bytes
    skipped: bool


def _entries(data: bytes, width: int) -> tuple[list[_Entry], int]:
    """The index's entries, and where they end; `width` is that of a hash."""
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("not an index that is known")
    at, before = 12, b""
    entries: list[_Entry] = []
    for _ in range(count):
        start = at
        seconds, nanoseconds, mode, size = struct.unpack_from(">8xII8xI8xI", data, at)
        sha = data[at + 40 : at + 40 + width]
        at += 40 + width
        flags = struct.unpack_from(">H", data, at)[0]
        at += 2
        extended = struct.unpack_from(">H", data, at)[0] if flags & 0x4000 else 0
        at += 2 if flags & 0x4000 else 0
        if version == 4:
            drop, at = _varint(data, at)
            end = data.index(b"\0", at)
            name = before[: len(before) - drop] + data[at:end]
            at = end + 1
        else:
            end = data.index(b"\0", at)
            name = data[at:end]
            at = start + (end - start + 8) // 8 * 8
        before = name
        skipped = bool(extended & 0x4000) or bool(flags & 0x8000)
        entries.append(_Entry(name, mode, size, seconds, nanoseconds, sha, skipped))
    return entries, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An offset as packs write it, and what follows."""
    value = data[at] & 127
    while data[at] & 128:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 127)
    return value, at + 1


def _changed(path: Path, entry: _Entry) -> bool | None:
    if entry.skipped:
        return False
    if entry.mode == _SUBMODULE:
        return None
    try:
        found = path.lstat()
    except OSError:
        return True
    if not (stat.S_ISLNK if entry.mode == _LINK else stat.S_ISREG)(found.st_mode):
        return True
    times = (int(found.st_mtime_ns // 10**9), int(found.st_mtime_ns % 10**9))
    if found.st_size & 0xFFFFFFFF == entry.size and times == (entry.seconds, entry.nanoseconds):
        return False
    if found.st_size > _MOST:
        return None
    content = os.fsencode(os.readlink(path)) if entry.mode == _LINK else path.read_bytes()
    kind = hashlib.sha1 if len(entry.sha) == 20 else hashlib.sha256
    same = kind(b"blob %d\0" % len(content) + content).digest() == entry.sha
    return not same


def _staged(extensions: bytes, git: Path, commit: str) -> bool | None:
    """Whether the index holds another tree than the commit; None where git has not noted the index's tree."""
    at = 0
    while at + 8 <= len(extensions) and extensions[at : at + 4] != b"TREE":
        at += 8 + int(struct.unpack_from(">I", extensions, at + 4)[0])
    if extensions[at : at + 4] != b"TREE":
        return None
    count, begin = extensions.index(b"\0", at + 8) + 1, extensions.index(b"\n", at + 8) + 1
    if int(extensions[count : begin - 1].split(b" ")[0]) < 0:
        return True  # the note is dropped when something is staged
    tree = _tree(_shared(git), commit)
    return None if tree is None else extensions[begin : begin + len(commit) // 2].hex() != tree


def _tree(git: Path, commit: str) -> str | None:
    """The tree of a commit that is stored on its own."""
    path = git / "objects" / commit[:2] / commit[2:]
    if not path.is_file():
        return None
    head = zlib.decompressobj().decompress(path.read_bytes(), 4096)
    match = re.match(rb"commit \d+\0tree ([0-9a-f]+)\n", head)
    return match[1].decode() if match else None
