"""The files of a folder, in order, within limits; links are not followed, and what can't be opened is told, not raised."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import InputError
from assay.studies.anonymity.piece import Limits, Unread

MADE_BY_TOOLS = frozenset((
    ".venv", "venv", "env", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".tox",
    ".nox", "site-packages",
))  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A file's content, why it can't be had, or None for a folder that is left out."""

    name: str
    item: bytes | Unread | None
    target: str = ""
    """Where a symbolic link leads."""
    notice: str = ""
    """What of a large file was not looked at."""


def walk(path: Path, limits: Limits, *, everything: bool = False) -> Iterator[Step]:
    """A file, or all files of a folder in alphabetical order, named relative to the folder's parent."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"Cannot look at {path}: {error.strerror or error}. Give a file or a folder.") from None
    root = path.resolve()
    if stat.S_ISDIR(mode):
        yield from _folder(root, root.name, limits, everything)
    else:
        yield _file(root, path.name, limits)


def _folder(folder: Path, name: str, limits: Limits, everything: bool) -> Iterator[Step]:
    todo = [(folder, name)]
    while todo:
        here, label = todo.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            yield Step(label, Unread(f"cannot be opened: {error.strerror or error}"))
            continue
        inner: list[tuple[Path, str]] = []
        for entry in entries:
            child = f"{label}/{_printable(entry.name)}"
            if entry.is_symlink():
                yield _link(Path(entry.path), child, folder)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name in MADE_BY_TOOLS and not everything:
                    yield Step(child, None)
                else:
                    inner.append((Path(entry.path), child))
            else:
                yield _file(Path(entry.path), child, limits)
        todo += reversed(inner)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _link(path: Path, name: str, root: Path) -> Step:
    """A link is not followed. One that stays inside is met there; one that leads out can't be looked at."""
    try:
        target = os.readlink(path)
    except OSError:
        return Step(name, Unread("is a link that cannot be read"))
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return Step(name, Unread("is a symbolic link that leads nowhere or in a circle: not followed"), target)
    return Step(name, b"" if inside else Unread("is a symbolic link out of the folder: not followed"), target)


def _file(path: Path, name: str, limits: Limits) -> Step:
    try:
        # not blocking, so that a pipe that nobody writes to is refused below and does not wait
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                return Step(name, Unread("is no ordinary file (a device, pipe or socket)"))
            limits.files -= 1
            if limits.files < 0:
                return Step(name, Unread("comes after more files than a check looks at"))
            if about.st_size <= limits.each:
                return Step(name, file.read(limits.each + 1))
            half = limits.each // 8
            start = file.read(half)
            file.seek(-half, os.SEEK_END)
            left = (about.st_size - 2 * half) >> 20
            notice = f"is {about.st_size >> 20} MB long: {left} MB in its middle were not looked at"
            return Step(name, start + b"\n" + file.read(half), notice=notice)
    except OSError as error:
        return Step(name, Unread(f"cannot be opened: {error.strerror or error}"))
