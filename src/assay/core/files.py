"""Files and folders that are there whole or not at all.

A crash, a full disk or Ctrl-C must not leave half a result behind that the next run takes for a whole one. So
everything is written under a temporary name beside its target, flushed to the disk, and then renamed, which the file
system does in one step. Two processes that write the same target at once both succeed, and the last content stays.

Cost: one fsync per file and one per folder.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.core.errors import StorageError


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends well, and vanishes when it does not.

    >>> with atomic_file("scores.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    target = Path(path)
    temporary = _beside(target)
    try:
        yield temporary
        _flush(temporary)
        _rename(temporary, target)
        _flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `path` when the block ends well, and vanishes when it does not.

    An existing folder is replaced, or with `replace=False` it is kept and the new one is dropped: what suits a cache,
    where both hold the same. Replacing is two renames, so a reader may for an instant find nothing, never a mixture.
    """
    target = Path(path)
    temporary = _beside(target)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _flush(file)
        _flush(temporary)
        _settle(temporary, target, replace)
        _flush_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text file atomically, as UTF-8 with the line ends it has."""
    write_bytes(path, text.encode("utf-8"))


def _beside(target: Path) -> Path:
    """A free name in the target's own folder, so that the rename stays on one file system."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot make the folder {target.parent}: {error.strerror or error}.") from error
    return _temporary(target)


def _temporary(target: Path) -> Path:
    return target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.tmp"


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except IsADirectoryError as error:
        raise StorageError(f"{target} is a folder, and a file was to be written there.") from error


def _settle(temporary: Path, target: Path, replace: bool) -> None:
    """Rename a filled folder into place; what is there already is moved aside first, or kept."""
    while True:
        try:
            os.rename(temporary, target)
            return
        except NotADirectoryError as error:
            raise StorageError(f"{target} is a file, and a folder was to be written there.") from error
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if not replace:
            return
        remove_folder(target)  # and try again: another process may have put its own there meanwhile


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Remove a folder in one step, as others see it: it is renamed first. One that is not there is no error."""
    aside = _temporary(Path(path))
    try:
        os.rename(path, aside)
    except (FileNotFoundError, NotADirectoryError):
        return
    shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself lasting. Some file systems refuse to flush a folder; the rename stays atomic there."""
    try:
        _flush(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EISDIR):
            raise
