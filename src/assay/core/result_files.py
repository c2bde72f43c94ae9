"""A result as one file: a numpy archive that needs no pickle, with attributes and provenance as JSON in it."""

from __future__ import annotations

import encodings.cp437  # noqa: F401  zipfile's, for names: a first look-up that fails is remembered by the whole process
import io
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import ValidationError

from assay.core.codec import canonical, parse
from assay.core.errors import StorageError
from assay.core.files import write_bytes
from assay.core.provenance import Cost, Provenance

FORMAT = 1
_META = "meta"
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ValueError, LookupError, TypeError, AttributeError,
    EOFError, OSError, RuntimeError, OverflowError, MemoryError,
)  # fmt: skip
"""What zipfile, numpy and xarray raise for an archive that was cut or changed."""


def write_result(path: str | os.PathLike[str], *, data: xr.Dataset, provenance: Provenance, cost: Cost) -> Path:
    """Write atomically."""
    write_bytes(path, pack_result(data, provenance, cost))
    return Path(path)


def pack_result(data: xr.Dataset, provenance: Provenance, cost: Cost, *, compressed: bool = True) -> bytes:
    """The content of the file. Compressing saves at most half, and takes a second for each 8 MB."""
    arrays: dict[str, Any] = {}
    meta = {
        "format": FORMAT,
        "variables": {
            str(name): _packed(data.variables[name], f"v{i}", arrays) for i, name in enumerate(data.variables)
        },
        "coords": [str(name) for name in data.coords],
        "order": [str(name) for name in data.data_vars],
        "attrs": _plain(data.attrs),
        "provenance": provenance.model_dump(mode="json"),
        "cost": cost.model_dump(mode="json"),
    }
    arrays[_META] = np.frombuffer(canonical(meta).encode("ascii"), dtype=np.uint8)
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)
    return content.getvalue()


def read_result(path: str | os.PathLike[str]) -> tuple[xr.Dataset, Provenance, Cost]:
    """Read what `write_result` wrote; nothing in the file can run code."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read the result {path}: {error.strerror or error}.") from error
    return unpack_result(content, what=str(path))


def unpack_result(content: bytes, *, what: str) -> tuple[xr.Dataset, Provenance, Cost]:
    """Read what `pack_result` made; nothing in it can run code. `what` names it in errors."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return _unpacked(archive)
    except StorageError as error:
        raise StorageError(f"{what}: {error}") from error
    except _DAMAGE as error:
        raise StorageError(
            f"{what} is damaged or not a result of assay ({error}). Restore it, or run again."
        ) from error


def _packed(variable: xr.Variable, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    values = variable.values
    packed: dict[str, Any] = {"dims": [str(dim) for dim in variable.dims], "attrs": _plain(variable.attrs)}
    if values.dtype.kind in "biufSU":
        arrays[key] = values
        return {**packed, "array": key}
    return {**packed, "values": _plain(values.tolist()), "shape": list(values.shape)}


def _unpacked(archive: Any) -> tuple[xr.Dataset, Provenance, Cost]:
    meta = parse(archive[_META].tobytes(), what="its description")
    if meta["format"] > FORMAT:
        raise StorageError(
            f"written by a newer assay: the result has format {meta['format']}, and this assay reads up to {FORMAT}. "
            "Upgrade assay (pip install --upgrade assay)."
        )
    variables = {name: _variable(packed, archive) for name, packed in meta["variables"].items()}
    data = xr.Dataset(
        {name: variables[name] for name in meta["order"]},
        coords={name: variables[name] for name in meta["coords"]},
        attrs=meta["attrs"],
    )
    try:
        return data, Provenance.model_validate(meta["provenance"]), Cost.model_validate(meta["cost"])
    except ValidationError as error:
        raise ValueError(f"its provenance is incomplete: {error.error_count()} problems") from error


def _variable(packed: dict[str, Any], archive: Any) -> xr.Variable:
    if "array" in packed:
        return xr.Variable(packed["dims"], archive[packed["array"]], attrs=packed["attrs"])
    values = np.empty(packed["shape"], dtype=object)
    values[...] = np.array(packed["values"], dtype=object).reshape(packed["shape"])
    return xr.Variable(packed["dims"], values, attrs=packed["attrs"])


def _plain(value: Any) -> Any:
    """As JSON has it; what is missing becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    return None if value is pd.NA else value
