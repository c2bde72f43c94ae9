"""What of a store can go: leftovers always, entries by age or to keep to a size.

Leftovers are temporary files of writers that died (older than an hour: a write takes seconds), damaged files that were
set aside, parts of a run that has its result, and second results of two runs that ended at once. Entries go in the order
in which they were last used. Nothing but what the store itself writes is ever removed. A run that is under way in an
entry that goes loses what it had kept, not its result.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.core.files import remove_folder
from assay.engine.store.entry import Entry
from assay.engine.store.store import Store

STALE = 3600.0
"""Seconds after which a temporary file is nobody's."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@dataclass(frozen=True)
class Removal:
    """Something to remove, and why."""

    path: Path
    bytes: int
    why: str


def removals(store: Store, *, older_than: float | None = None, keep: int | None = None) -> list[Removal]:
    """What a cleaning would remove: entries not used for `older_than` seconds, the longest unused ones beyond `keep` bytes,
    and leftovers in the others."""
    now, found, size = time.time(), [], 0
    used = {entry: last_used(entry.folder) for entry in store.entries()}
    for entry in sorted(used, key=lambda entry: -used[entry]):
        if older_than is not None and now - used[entry] > older_than:
            found.append(Removal(entry.folder, bytes_of(entry.folder), f"not used for {_time(older_than)}"))
            continue
        left = list(_leftovers(entry, now))
        size += bytes_of(entry.folder) - sum(each.bytes for each in left)
        if keep is not None and size > keep:
            found.append(Removal(entry.folder, bytes_of(entry.folder), "beyond the size to keep to"))
        else:
            found += left
    return [*_temporary(store.root, now), *found]


def remove(removal: Removal) -> None:
    """Do it. What another process has removed meanwhile is no error."""
    if removal.path.is_dir() and not removal.path.name.startswith("."):
        remove_folder(removal.path)
    elif removal.path.is_dir():
        shutil.rmtree(removal.path, ignore_errors=True)
    else:
        removal.path.unlink(missing_ok=True)


def bytes_of(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(size for _, size in _stats(folder))


def last_used(folder: Path) -> float:
    """When one of its files was last written, or its result read, in seconds since 1970."""
    return max((modified for modified, _ in _stats(folder)), default=0.0)


def _stats(folder: Path) -> Iterator[tuple[float, int]]:
    """When each file was changed, and its size; files that go meanwhile are left out."""
    for path in folder.rglob("*"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            yield stat.st_mtime, stat.st_size


def _leftovers(entry: Entry, now: float) -> Iterator[Removal]:
    yield from _temporary(entry.folder, now)
    yield from _temporary(entry.folder / "parts", now)
    yield from (_removal(path, "damaged, set aside") for path in entry.aside)
    results = entry.results
    yield from (_removal(path, "a second result of the same") for path in results[1:])
    if results:
        yield from (_removal(path, "a part of what is finished") for path in entry.parts)


def _temporary(folder: Path, now: float) -> Iterator[Removal]:
    for path in sorted(folder.glob(".*.tmp")):
        try:
            stale = now - path.stat().st_mtime > STALE
        except FileNotFoundError:
            continue
        if stale and _TEMPORARY.fullmatch(path.name):
            yield _removal(path, "left by a writer that died")


def _removal(path: Path, why: str) -> Removal:
    try:
        size = bytes_of(path) if path.is_dir() else path.stat().st_size
    except FileNotFoundError:
        size = 0
    return Removal(path, size, why)


def _time(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:g} days" if days >= 1 else f"{seconds / 3600:g} hours"
