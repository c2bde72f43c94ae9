"""What a GGUF file says of itself: architecture, name, and how each tensor is quantised. The weights are not read.

The `gguf` package's reader makes an array of every vocabulary entry, which takes seconds; this one steps over lists,
and takes a tenth of a second for a vocabulary of 50,000. The layout is in docs/gguf.md of ggml-org/ggml.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from assay.core.errors import LoadError

SCALARS = {
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}


@dataclass(frozen=True)
class GgufHeader:
    """The header of one file: its scalar metadata, and a count of tensors by quantisation type."""

    metadata: dict[str, object]
    tensor_types: dict[str, int]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, such as `llama` or `qwen2`."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def quantisation(self) -> str:
        """The types in the file, the most frequent first: `Q4_1 (210 tensors), F32 (61)`."""
        (first, count), *rest = sorted(self.tensor_types.items(), key=lambda item: -item[1]) or [("nothing", 0)]
        return ", ".join([f"{first} ({count} tensors)", *(f"{name} ({count})" for name, count in rest)])


def read_header(path: Path) -> GgufHeader:
    """Read the header; a file that is not GGUF, is cut off, or is of another version is a LoadError."""
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except (struct.error, UnicodeDecodeError, ValueError, OverflowError, MemoryError) as error:
        raise LoadError(f"{path} is damaged: its header cannot be read ({error}). Fetch the file again.") from error


def _read(file: BinaryIO, path: Path) -> GgufHeader:
    if file.read(4) != b"GGUF":
        raise LoadError(f"{path} is not a GGUF file: it does not start with the letters GGUF.")
    version = _number(file, "<I")
    if version not in (2, 3):
        raise LoadError(f"{path} is GGUF version {version}: expected 2 or 3, little-endian.")
    tensors, fields = _number(file, "<Q"), _number(file, "<Q")
    metadata: dict[str, object] = {}
    for _ in range(fields):
        name = _text(file)
        metadata[name] = _value(file, GGUFValueType(_number(file, "<I")))
    types, end = _tensors(file, tensors)
    alignment = metadata.get("general.alignment", 32)
    start = _aligned(file.tell(), alignment if isinstance(alignment, int) and alignment > 0 else 32)
    if path.stat().st_size < start + end:
        raise LoadError(f"{path} is cut off: {path.stat().st_size} bytes of {start + end}. Fetch the file again.")
    return GgufHeader({key: value for key, value in metadata.items() if value is not None}, dict(types))


def _tensors(file: BinaryIO, count: int) -> tuple[Counter[str], int]:
    """Types of all tensors, and where the last one's data ends, counted from the start of the data."""
    types: Counter[str] = Counter()
    end = 0
    for _ in range(count):
        _text(file)
        size = 1
        for _ in range(_number(file, "<I")):
            size *= _number(file, "<Q")
        kind = GGMLQuantizationType(_number(file, "<I"))
        block, width = GGML_QUANT_SIZES[kind]
        end = max(end, _number(file, "<Q") + size // block * width)
        types[kind.name] += 1
    return types, end


def _value(file: BinaryIO, kind: GGUFValueType) -> object:
    """A scalar or a text; a list is stepped over, and given as None."""
    if kind is GGUFValueType.STRING:
        return _text(file)
    if kind is not GGUFValueType.ARRAY:
        return struct.unpack(SCALARS[kind], file.read(struct.calcsize(SCALARS[kind])))[0]
    item, count = GGUFValueType(_number(file, "<I")), _number(file, "<Q")
    if item in SCALARS:
        file.seek(count * struct.calcsize(SCALARS[item]), 1)
        return None
    for _ in range(count):
        if item is GGUFValueType.STRING:
            file.seek(_number(file, "<Q"), 1)
        else:
            _value(file, item)
    return None


def _number(file: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


def _text(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    if length > 1 << 26:
        raise ValueError(f"a text of {length} bytes")
    return file.read(length).decode("utf-8", errors="replace")


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
