"""Shards of a harvest on disk: safetensors files and the index that says what each holds. Every write is atomic."""

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

    file: str
    first: int
    documents: int
    rows: int
    sha256: str
    content: str
    """Hash of the documents."""


class Index(BaseModel):
    """All finished shards of a folder, in document order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    key: str
    shards: tuple[Shard, ...] = ()

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

    def adding(self, shard: Shard) -> Index:
        """The index with a shard more, in place of one that starts at the same document."""
        return self.model_copy(update={"shards": (*(s for s in self.shards if s.first != shard.first), shard)})

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_text(folder / "index.json", self.model_dump_json(indent=1))


def write_shard(folder: Path, tensors: dict[str, Tensor], first: int, documents: list[Any]) -> Shard:
    """Write one shard's file; the index is written after it."""
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    name = f"shard-{first:09d}.safetensors"
    write_bytes(folder / name, data)
    rows = len(next(iter(tensors.values())))
    sha256 = hashlib.sha256(data).hexdigest()
    return Shard(file=name, first=first, documents=len(documents), rows=rows, sha256=sha256, content=digest(documents))


def read_shard(folder: Path, shard: Shard) -> dict[str, Tensor]:
    """Read and verify one shard. Raises StorageError naming the file when it is missing or damaged."""
    path = folder / shard.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}. Delete {folder}/index.json and run again.") from None
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise StorageError(
            f"{path} is damaged: its checksum is not the one in index.json. Delete the folder and run again."
        )
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise StorageError(f"{path} is no safetensors file: {error}.") from None
    return tensors
