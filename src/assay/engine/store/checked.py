"""Files that carry their own checksum: in the name, `<stem>-<sha256><suffix>`, or in the text, for JSON.

So a file never changes once it is there, two writers of the same content write the same file, and no list of files has
to be kept in step.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from assay.core.codec import digest, parse, pretty
from assay.core.errors import StorageError
from assay.core.files import write_bytes, write_text
from assay.engine.store.notices import DamagedError


def write_named(folder: Path, stem: str, content: bytes, *, suffix: str) -> Path:
    """Write a file under a name that has its checksum, whole or not at all."""
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()}{suffix}"
    write_bytes(path, content)
    return path


def read_named(path: Path) -> bytes:
    """Read and verify what `write_named` wrote.

    Raises:
        DamagedError: the content is not that of the name.
        OSError: it is not there, or can't be read.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem.rpartition("-")[2]:
        raise DamagedError(path, f"the checksum of its {len(content):,} bytes is not the one in its name")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that people can read, with a checksum in it."""
    write_text(path, pretty({"content": content, "sha256": digest(content)}))


def read_json(path: Path) -> dict[str, Any]:
    """Read and verify what `write_json` wrote, to the last blank.

    Raises:
        DamagedError: a byte differs.
        OSError: it is not there, or can't be read.
    """
    text = path.read_bytes()
    try:
        whole = parse(text, what="it")
        content: dict[str, Any] = whole["content"]
        sound = whole["sha256"] == digest(content) and pretty(whole).encode() == text
    except (StorageError, TypeError, KeyError, UnicodeError) as error:
        raise DamagedError(path, "it is not the JSON that was written") from error
    if not sound:
        raise DamagedError(path, "its checksum is not the one in it")
    return content
