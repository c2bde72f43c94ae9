"""What went wrong with the store in one run: warned of once, and told in the result's provenance.

Warnings name whole paths; facts, which travel with a result, name files alone.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from assay.core.errors import StorageError


class StoreWarning(UserWarning):
    """Something is wrong with a store; the run goes on without it."""


class DamagedError(StorageError):
    """A file whose content is not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is damaged: {why}.")
        self.path, self.why = path, why


class Notices:
    """Collects the facts of one run."""

    def __init__(self) -> None:
        self.facts: list[str] = []
        self.warned = False

    def damaged(self, error: DamagedError, *, moved: bool) -> None:
        """A damaged file was found. `moved`: whether it could be set aside."""
        left = "set aside" if moved else "left where it is, as it can't be moved"
        self.facts.append(f"{error.path.name} in the store was damaged ({error.why}), and made again")
        _warn(f"{error} It was {left}, and what it held is computed again.")

    def unreadable(self, path: Path, error: OSError) -> None:
        """A file that is there can't be read."""
        self.facts.append(f"{path.name} in the store could not be read ({reason(error)}), and was made again")
        _warn(f"{path} cannot be read: {reason(error)}. What it holds is computed again.")

    def unwritable(self, folder: Path, error: OSError | StorageError) -> None:
        """Writing failed; said once, however often it is tried."""
        if not self.warned:
            _warn(
                f"The store in {folder} cannot be written: {reason(error)}. The run goes on; what is not kept would be "
                "computed again."
            )
        self.warned = True


def reason(error: OSError | StorageError) -> str:
    """What the system said, without the path."""
    cause = error.__cause__ if isinstance(error, StorageError) and isinstance(error.__cause__, OSError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)


def _warn(text: str) -> None:
    warnings.warn(text, StoreWarning, stacklevel=3)
