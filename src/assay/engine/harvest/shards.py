"""Shards of a harvest on disk: safetensors files and the index that says what each holds. Every write is atomic.

Statistics are one file more, written after each shard. The index names the one after the last shard and the one before
it, so that a last shard that got more documents can be run again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from assay.core.codec import digest
from assay.core.errors import StorageError
from assay.core.files import write_bytes, write_text


class Shard(BaseModel):
    """One file, and the documents that it covers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None
    """None where no activations are kept."""
    first: int
    documents: int
    rows: int
    size: int = 0
    """Bytes of the file."""
    sha256: str = ""
    content: str
    """Hash of the documents."""


class Sums(BaseModel):
    """The statistics of a folder's first shards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    shards: int
    """How many shards are summed up."""
    sha256: str


class Index(BaseModel):
    """All finished shards of a folder, in document order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 2
    key: str
    shards: tuple[Shard, ...] = ()
    sums: tuple[Sums, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index of a folder. Raises StorageError when there is none, or it is damaged."""
        try:
            return cls.model_validate(json.loads((folder / "index.json").read_text()))
        except FileNotFoundError:
            raise StorageError(f"{folder} holds no harvest: it has no index.json.") from None
        except (ValueError, ValidationError) as error:
            raise StorageError(
                f"{folder / 'index.json'} is damaged: {str(error).splitlines()[0]}. Delete the folder and run again."
            ) from None

    @classmethod
    def start(cls, folder: Path, key: str) -> Index:
        """The index to go on from: the folder's own if it was made by the same rules, else a new one."""
        if not (folder / "index.json").exists():
            return cls(key=key)
        found = cls.read(folder)
        if found.key != key:
            raise StorageError(
                f"{folder} holds a harvest of another model, other sites or other rules: give another folder."
            )
        return found

    def has(self, first: int, documents: list[Any], folder: Path) -> bool:
        """Whether these documents, from number `first` on, are done. A last shard that got more documents is not.

        Raises:
            StorageError: other documents are there.
        """
        done = next((s for s in self.shards if s.first == first), None)
        if done is None:
            return False
        if done.content != digest(documents[: done.documents]):
            raise StorageError(f"{folder} holds other documents from number {first} on: give another folder.")
        return done.documents == len(documents)

    def refuse_more_than(self, total: int, folder: Path) -> None:
        """Raise StorageError when there are more documents than the corpus has."""
        there = sum(s.documents for s in self.shards)
        if there > total:
            raise StorageError(f"{folder} holds {there} documents, and this corpus has {total}: give another folder.")

    def adding(self, shard: Shard, sums: Sums | None) -> Index:
        """The index with a shard more, in place of one that starts at the same document, and its statistics."""
        shards = (*(s for s in self.shards if s.first != shard.first), shard)
        older = tuple(s for s in self.sums if s.shards == len(shards) - 1)
        return self.model_copy(update={"shards": shards, "sums": (*older, sums) if sums else ()})

    def sums_after(self, shards: int, folder: Path) -> dict[str, Tensor] | None:
        """The statistics of the first shards; None before the first.

        Raises:
            StorageError: they are missing or damaged.
        """
        if shards == 0:
            return None
        found = next((s for s in self.sums if s.shards == shards), None)
        if found is None:
            raise StorageError(f"{folder} has no statistics of its first {shards} shards: delete it and run again.")
        return _read(folder / found.file, found.sha256)

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_text(folder / "index.json", self.model_dump_json(indent=1))


def write_shard(folder: Path, tensors: dict[str, Tensor] | None, first: int, documents: list[Any], rows: int) -> Shard:
    """Write one shard's file, if there is anything to keep; the index is written after it."""
    about = {"first": first, "documents": len(documents), "rows": rows, "content": digest(documents)}
    if tensors is None:
        return Shard(file=None, **about)
    name = f"shard-{first:09d}.safetensors"
    sha256, size = _write(folder / name, tensors)
    return Shard(file=name, size=size, sha256=sha256, **about)


def write_sums(folder: Path, tensors: dict[str, Tensor], shards: int) -> Sums:
    """Write the statistics of the first shards; the index is written after it."""
    name = f"statistics-{shards:09d}.safetensors"
    return Sums(file=name, shards=shards, sha256=_write(folder / name, tensors)[0])


def drop_old_sums(folder: Path, index: Index) -> None:
    """Remove statistics that the index no longer names."""
    named = {sums.file for sums in index.sums}
    for path in folder.glob("statistics-*.safetensors"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def check_there(folder: Path, index: Index) -> None:
    """Raise StorageError when a shard's file is missing or of another size. Its content is checked when it is read."""
    for shard in index.shards:
        if shard.file is None:
            continue
        path = folder / shard.file
        if not path.exists():
            raise StorageError(f"cannot read {path}: it is not there. Delete {folder}/index.json and run again.")
        if path.stat().st_size != shard.size:
            raise StorageError(f"{path} is damaged: it has another size. Delete the folder and run again.")


def read_shard(folder: Path, shard: Shard) -> dict[str, Tensor]:
    """Read and verify one shard. Raises StorageError naming the file when it is missing or damaged."""
    return {} if shard.file is None else _read(folder / shard.file, shard.sha256)


def _write(path: Path, tensors: dict[str, Tensor]) -> tuple[str, int]:
    """Write a file of tensors; gives its checksum and its size."""
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest(), len(data)


def _read(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}. Delete {path.parent}/index.json and run again."
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StorageError(
            f"{path} is damaged: its checksum is not the one in index.json. Delete the folder and run again."
        )
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise StorageError(f"{path} is no safetensors file: {error}.") from None
    return tensors
