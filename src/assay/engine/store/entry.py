"""An entry of a store: the folder of one key.

    entry.json                     what it is: the key's facts, the model's name, the experiment, when, versions, sizes
    parts/part-<sha256>.safetensors    what was finished of a run that has not come to its end
    result-<sha256>.npz            the result, once the run has
    set-aside/                     damaged files

No file is changed once it is there, so any number of processes may read and write an entry without locks. Two that
compute the same may both leave a result: either is right. `gc` removes what is double.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.core.errors import StorageError
from assay.core.result import Result
from assay.core.result_files import pack_result, unpack_result
from assay.engine.store.checked import read_json, read_named, write_json, write_named
from assay.engine.store.key import key_of
from assay.engine.store.notices import DamagedError, Notices
from assay.engine.store.part import Part, pack, unpack

ABOUT, ASIDE = "entry.json", "set-aside"


class About(BaseModel):
    """What an entry is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    facts: dict[str, Any]
    """What the key is the hash of."""
    model: str
    """What the model was loaded from."""
    experiment: dict[str, Any]
    """The experiment; tensors in it are references by hash."""
    created: str
    """When it was begun, in UTC, as ISO 8601."""
    versions: dict[str, str]
    """Versions of assay, torch, transformers, numpy and Python."""
    variants: int = 0
    """Variants of the sweep."""
    groups: int = 0
    """Groups of examples that are run together; a piece of work is a variant for a group."""
    examples: int = 0
    """Examples in all groups."""


@dataclass(frozen=True)
class Entry:
    """The folder of a key, which need not exist yet."""

    folder: Path

    @property
    def key(self) -> str:
        """The key, 64 hexadecimal digits."""
        return self.folder.name

    @property
    def results(self) -> list[Path]:
        """Files with the finished result: one, or two if two processes made it at once."""
        return sorted(self.folder.glob("result-*.npz"))

    @property
    def parts(self) -> list[Path]:
        """Files with finished parts."""
        return sorted((self.folder / "parts").glob("part-*.safetensors"))

    @property
    def aside(self) -> list[Path]:
        """Damaged files that were moved out of the way."""
        return sorted(path for path in (self.folder / ASIDE).glob("*") if path.is_file())

    def about(self) -> About | None:
        """What it is; None while nothing is written. Raises DamagedError."""
        path = self.folder / ABOUT
        try:
            about = About.model_validate(read_json(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError as error:
            raise DamagedError(path, "it does not describe an entry") from error
        if key_of(about.facts) != self.key:
            raise DamagedError(path, "it describes another entry")
        return about

    def describe(self, about: About, notices: Notices) -> None:
        """Write what it is, unless that is there. Raises OSError or StorageError where it can't be written."""
        try:
            if self.about() is not None:
                return
        except DamagedError as error:
            notices.damaged(error, moved=self.set_aside(error.path))
        write_json(self.folder / ABOUT, about.model_dump(mode="json"))

    def read_result(self, path: Path) -> Result:
        """One of `results`. Raises DamagedError, or OSError when it is gone or can't be read."""
        content = read_named(path)
        try:
            return Result(*unpack_result(content, what="it"))
        except StorageError as error:
            raise DamagedError(path, str(error).rstrip(".")) from error

    def read_part(self, path: Path) -> Part:
        """One of `parts`. Raises DamagedError, or OSError when it is gone or can't be read."""
        content = read_named(path)
        try:
            return unpack(content, self.key)
        except StorageError as error:
            raise DamagedError(path, str(error).rstrip(".")) from error

    def write_result(self, result: Result) -> Path:
        """Keep a finished result. Raises OSError or StorageError."""
        content = pack_result(result.data, result.provenance, result.cost, compressed=False)
        return write_named(self.folder, "result", content, suffix=".npz")

    def write_part(self, part: Part) -> Path:
        """Keep a finished part. Raises OSError or StorageError."""
        return write_named(self.folder / "parts", "part", pack(part, self.key), suffix=".safetensors")

    def drop_parts(self) -> None:
        """Remove all parts: the result has their numbers. What can't be removed stays."""
        for path in self.parts:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return

    def set_aside(self, path: Path) -> bool:
        """Move a damaged file out of the way; whether that was possible, or another process has done it."""
        try:
            (self.folder / ASIDE).mkdir(exist_ok=True)
            os.replace(path, self.folder / ASIDE / path.name)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def used_now(self) -> None:
        """Note that it was read, for `gc`; a store that can't be written has no such notes."""
        try:
            os.utime(self.folder / ABOUT)
        except OSError:
            return
