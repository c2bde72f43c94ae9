"""`bundle.json`: what is in a bundle, with the hash of every file, and how to get what is not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.core import codec
from assay.core.errors import StudyError

FILE = "bundle.json"
FORMAT = 1


class Part(BaseModel):
    """Closed and unchanging."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class FileEntry(Part):
    """One file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The hash of its bytes."""
    bytes: int = Field(ge=0)
    """How long it is."""


class ModelEntry(Part):
    """The model that the numbers are about."""

    name: str | None = None
    """A hub id, the last part of a folder's or file's path, or the embedded model's name."""
    kind: str | None = None
    """What it was loaded from: embedded, hub, folder, gguf, module."""
    revision: str | None = None
    """The commit of a hub model."""
    fingerprint: str | None = None
    """The hash of its configuration and weights: the same model has the same, wherever it comes from."""


class DataEntry(Part):
    """A set of prompts."""

    prompts: str
    """The file that holds them."""
    made_by: dict[str, Any]
    """How they are made again: the study's own words."""


class Manifest(Part):
    """What a bundle says of itself."""

    format: Literal[1] = 1
    """The version of this record."""
    kind: Literal["assay study bundle"] = "assay study bundle"
    """What it is."""
    title: str
    """The study's title."""
    plan: str
    """The hash of the plan in force."""
    announced: str | None = None
    """In an anonymous bundle whose plan had to be changed: the hash that it had before."""
    steps: tuple[str, ...]
    """The steps in their order."""
    data: dict[str, DataEntry]
    """The sets of prompts in their order."""
    model: ModelEntry
    """The model."""
    versions: dict[str, str]
    """Versions of Python and of the packages that numbers depend on most."""
    commands: dict[str, str]
    """How to check the bundle, and how to run the study from it."""
    anonymous: bool = False
    """Whether what tells who made it was taken out."""
    files: dict[str, FileEntry]
    """Every file but this one."""


def entry(content: bytes) -> FileEntry:
    """The entry of a file."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def read_manifest(files: Mapping[str, bytes], what: str) -> Manifest:
    """The manifest among the files of an archive, and every file as it says.

    Raises:
        StudyError: there is none, it is from a newer assay or damaged, or a file is missing, changed or not listed.
    """
    if FILE not in files:
        raise StudyError(f"{what} is not a bundle of a study: it has no {FILE}.")
    content = codec.parse(files[FILE], what=f"{FILE} in {what}")
    if not isinstance(content, dict):
        raise StudyError(f"{FILE} in {what} is not what a bundle says of itself.")
    written = content.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise StudyError(f"{what} has format {written}; this assay reads up to {FORMAT}: upgrade it.")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise StudyError(f"{FILE} in {what} is damaged: {where}: {first['msg']}.") from None
    _check_files(manifest, files, what)
    return manifest


def _check_files(manifest: Manifest, files: Mapping[str, bytes], what: str) -> None:
    for name, listed in manifest.files.items():
        if name not in files:
            raise StudyError(f"{what} lacks {name[:80]!r}, which its {FILE} lists: ask for a whole one.")
        found = entry(files[name])
        if found != listed:
            how = "is longer or shorter" if found.bytes != listed.bytes else "has another content"
            raise StudyError(f"{name!r} in {what} was changed: it {how} than when it was bundled.")
    if extra := sorted(set(files) - set(manifest.files) - {FILE}):
        raise StudyError(f"{what} holds {extra[0]!r}, which its {FILE} does not list: refused.")
