"""Every file of a store read and checked against its checksum. Cost: one read of the whole store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.engine.store.entry import ABOUT, Entry
from assay.engine.store.notices import DamagedError, reason


@dataclass(frozen=True)
class Verified:
    """What was found."""

    files: int
    """How many were read."""
    damaged: tuple[tuple[Entry, Path, str], ...]
    """The entry, the file, and why."""


def verify(entries: Iterable[Entry]) -> Verified:
    """Read everything; nothing is changed. A file that goes while it is read (another process has finished) is fine."""
    files, damaged = 0, []
    for entry in entries:
        checks: list[tuple[Path, Callable[[Path], object]]] = [
            (entry.folder / ABOUT, lambda _, entry=entry: entry.about()),  # type: ignore[misc]
            *((path, entry.read_result) for path in entry.results),
            *((path, entry.read_part) for path in entry.parts),
        ]
        for path, check in checks:
            try:
                check(path)
            except FileNotFoundError:
                continue
            except DamagedError as error:
                damaged.append((entry, path, error.why))
            except OSError as error:
                damaged.append((entry, path, f"it cannot be read: {reason(error)}"))
            files += 1
    return Verified(files, tuple(damaged))
