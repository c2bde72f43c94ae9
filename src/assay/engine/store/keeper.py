"""An entry as one run writes it: what others have finished is read, what this run finishes is written, and no trouble
with the disk stops the run.

A write that fails is tried again later, after 2, 4, 8, … times the usual wait and at most a minute: a disk that was full
for a while costs nothing but that while.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from safetensors import SafetensorError

from assay.core.errors import StorageError
from assay.core.result import Result
from assay.engine.store.entry import ABOUT, About, Entry
from assay.engine.store.notices import DamagedError, Notices
from assay.engine.store.part import Part

LONGEST = 60.0
"""Seconds after which a write that failed is tried again, at most."""


class Keeper:
    """Reads and writes one entry. `every` is the seconds between two parts, at least."""

    def __init__(self, entry: Entry, about: About, notices: Notices, *, every: float) -> None:
        self.entry, self.about, self.notices, self.every = entry, about, notices, every
        self.wait = every
        self.last = time.monotonic()
        self.seen: set[str] = set()
        self.bad: set[str] = set()
        """Results that are no use: damaged and not to be moved, or not to be read."""
        self.described = False

    def result(self) -> Result | None:
        """The finished result, if a sound one is there."""
        for path in self.entry.results:
            try:
                return self.entry.read_result(path)
            except DamagedError as error:
                self.bad.add(path.name)
                self.notices.damaged(error, moved=self.entry.set_aside(error.path))
            except FileNotFoundError:
                continue  # another process has moved it
            except OSError as error:
                self.bad.add(path.name)
                self.notices.unreadable(path, error)
        return None

    def parts(self) -> Iterator[Part]:
        """Parts that were not read before, and are not this run's own."""
        for path in self.entry.parts:
            if path.name in self.seen:
                continue
            self.seen.add(path.name)
            try:
                yield self.entry.read_part(path)
            except DamagedError as error:
                self.notices.damaged(error, moved=self.entry.set_aside(error.path))
            except FileNotFoundError:
                continue  # another process has finished, and needs it no more
            except OSError as error:
                self.notices.unreadable(path, error)

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self.last >= self.wait

    def write(self, part: Part) -> bool:
        """Write a part; whether that went well."""
        try:
            self._describe()
            self.seen.add(self.entry.write_part(part).name)
        except (OSError, StorageError, SafetensorError) as error:
            self.notices.unwritable(self.entry.folder.parent, _as_storage(error))
            self.wait = min(2 * max(self.wait, 1.0), LONGEST)
            self.last = time.monotonic()
            return False
        self.wait, self.last = self.every, time.monotonic()
        return True

    def finish(self, result: Result) -> bool:
        """Write the result, after which parts are not needed; whether that went well."""
        try:
            self._describe()
            if self.bad.issuperset(path.name for path in self.entry.results):
                self.entry.write_result(result)
        except (OSError, StorageError) as error:
            self.notices.unwritable(self.entry.folder.parent, error)
            return False
        self.entry.drop_parts()
        return True

    def _describe(self) -> None:
        if not (self.described and (self.entry.folder / ABOUT).exists()):  # someone may have removed the entry
            self.entry.describe(self.about, self.notices)
        self.described = True


def _as_storage(error: OSError | StorageError | SafetensorError) -> OSError | StorageError:
    return StorageError(str(error)) if isinstance(error, SafetensorError) else error
