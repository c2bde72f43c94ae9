"""A store: a folder with one entry for each result, by key."""

from __future__ import annotations

import os
import re
from pathlib import Path

from assay.core.cache import cache_folder
from assay.core.errors import StorageError
from assay.engine.store.entry import Entry

VARIABLE = "ASSAY_STORE"
_KEY = re.compile(r"[0-9a-f]{64}")


class Store:
    """Results by the hash of what made them. The folder is made when something is first written.

    `root` is by default `$ASSAY_STORE`, or `store` in the cache folder. `every` is how many seconds of finished work are
    gathered into one part; 0 writes each variant as it is finished.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, every: float = 1.0) -> None:
        self.root = Path(root).expanduser() if root is not None else _default_root()
        self.every = every
        if self.root.exists() and not self.root.is_dir():
            raise StorageError(f"{self.root} is a file, and a store is a folder: give another one.")

    @classmethod
    def of(cls, store: Store | str | os.PathLike[str]) -> Store:
        """A store as it is, or the store of a folder."""
        return store if isinstance(store, Store) else cls(store)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def entry(self, key: str) -> Entry:
        """The entry of a key, whether it is there or not."""
        return Entry(self.root / key)

    def entries(self) -> list[Entry]:
        """All that are there, in the order of their keys. Other files and folders are none of the store's."""
        try:
            folders = sorted(self.root.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"cannot read the store {self.root}: {error.strerror or error}.") from error
        return [Entry(folder) for folder in folders if _KEY.fullmatch(folder.name) and folder.is_dir()]

    def find(self, start: str) -> Entry:
        """The one entry whose key begins so.

        Raises:
            StorageError: there is none, or more than one.
        """
        fitting = [entry for entry in self.entries() if entry.key.startswith(start.lower())] if start else []
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise StorageError(
                f"no entry of {self.root} has a key that begins with {start!r}: `assay store ls` lists what is there."
            )
        shown = ", ".join(entry.key[:12] for entry in fitting[:5]) + (", …" if len(fitting) > 5 else "")
        raise StorageError(f"{len(fitting)} keys begin with {start!r} ({shown}): give more digits.")


def _default_root() -> Path:
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    return cache_folder() / "store"
