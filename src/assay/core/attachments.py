"""Tensors inside data: an `Attachment` is a tensor known by the hash of its content.

In JSON it is a reference, `{"tensor": "sha256:...", "dtype": "float32", "shape": [64]}`; the numbers themselves go to a
safetensors file beside the JSON, keyed by the hash, so that equal tensors are stored once. Reading verifies every hash.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from safetensors import SafetensorError
from safetensors.torch import load as read_safetensors
from safetensors.torch import save as write_safetensors
from torch import Tensor

from assay.core.codec import digest_bytes
from assay.core.errors import ExperimentError, StorageError

CONTEXT_KEY = "attachments"
"""Where a pydantic validation context holds the tensors that references are resolved against, by hash."""

_HASH_PATTERN = r"^sha256:[0-9a-f]{64}$"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Attachment:
    """A tensor as a value: copied when made, equal to another when dtype, shape and every bit are equal.

    Treat `.tensor` as read-only: its hash is taken once.
    """

    tensor: Tensor = field(repr=False)
    hash: str

    @classmethod
    def of(cls, value: Any) -> Self:
        """From a tensor, a numpy array, a (nested) list of numbers, or a number. NaN is refused with its place."""
        if isinstance(value, cls):
            return value
        tensor = _as_tensor(value).detach().to("cpu", copy=True).contiguous()
        _refuse_nan(tensor)
        return cls(tensor, tensor_hash(tensor))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> str:
        """The tensor's dtype as text, `"float32"`."""
        return _dtype_name(self.tensor.dtype)

    @property
    def reference(self) -> dict[str, Any]:
        """What stands for the tensor in JSON."""
        return {"tensor": self.hash, "dtype": self.dtype, "shape": list(self.shape)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Attachment) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"Attachment({self.dtype}{list(self.shape)}, {self.hash[:15]}…)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: cls._validate(value, info),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda attachment: attachment.reference, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "object",
            "title": "Attachment",
            "description": "A tensor, by the hash of its content; its numbers are in the safetensors file beside.",
            "properties": {
                "tensor": {"type": "string", "pattern": _HASH_PATTERN},
                "dtype": {"type": "string"},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            },
            "required": ["tensor", "dtype", "shape"],
            "additionalProperties": False,
        }

    @classmethod
    def _validate(cls, value: Any, info: ValidationInfo) -> Self:
        if isinstance(value, Mapping):
            return cls._resolve(value, (info.context or {}).get(CONTEXT_KEY, {}))
        return cls.of(value)

    @classmethod
    def _resolve(cls, reference: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        if set(reference) != {"tensor", "dtype", "shape"}:
            raise StorageError(
                f"a tensor in JSON is written with the keys tensor, dtype and shape; this one has {sorted(reference)}."
            )
        key = reference["tensor"]
        if key not in tensors:
            raise StorageError(
                f"the tensor {key} is not among the {len(tensors)} attached: its safetensors file is missing or "
                "belongs to another file. Keep the .json and the .json.safetensors together; load with `.load(path)`."
            )
        made = cls.of(tensors[key])
        if made.reference != {**reference, "shape": list(reference["shape"])}:
            raise StorageError(
                f"the tensor {key} is damaged: the file holds {made.dtype} {list(made.shape)} with hash {made.hash}, "
                f"expected {reference['dtype']} {list(reference['shape'])}. Restore the safetensors file from a copy."
            )
        return made


def tensor_hash(tensor: Tensor) -> str:
    """Hash of dtype, shape and bytes. Cost: one pass over the bytes."""
    header = json.dumps([_dtype_name(tensor.dtype), list(tensor.shape)]).encode()
    if tensor.numel() == 0:
        return digest_bytes(header)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return digest_bytes(header, flat.view(torch.uint8).numpy().data)


def attachments_in(value: object) -> dict[str, Attachment]:
    """All attachments inside a pydantic model, dict, list or tuple, by hash."""
    return {found.hash: found for found in _walk(value)}


def pack(attachments: Mapping[str, Attachment]) -> bytes:
    """The content of a safetensors file holding them."""
    content: bytes = write_safetensors({key: attachments[key].tensor for key in sorted(attachments)})
    return content


def unpack(content: bytes, *, what: str) -> dict[str, Tensor]:
    """Read what `pack` wrote. `what` names the file in the error for a damaged one."""
    try:
        tensors: dict[str, Tensor] = read_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise StorageError(
            f"{what} is damaged or not a safetensors file ({error}). Restore it from a copy, or save it again."
        ) from error
    return tensors


def _walk(value: object) -> Iterator[Attachment]:
    if isinstance(value, Attachment):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item)


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        tensor = value
    elif isinstance(value, np.ndarray):
        tensor = _from_numpy(value)
    else:
        tensor = _from_numbers(value)
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise ExperimentError(
            f"a {tensor.dtype} tensor with layout {tensor.layout} on {tensor.device} cannot be attached: expected a "
            "dense tensor of real numbers or booleans. Convert it first (`.to_dense()`, `.dequantize()`)."
        )
    return tensor


def _from_numpy(value: np.ndarray[Any, Any]) -> Tensor:
    try:
        return torch.from_numpy(np.array(value, order="C"))
    except TypeError as error:
        raise ExperimentError(f"a numpy array of {value.dtype} cannot be attached: expected real numbers.") from error


def _from_numbers(value: Any) -> Tensor:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ExperimentError("a list with rows of different length is not a tensor.") from error
    if array.dtype.kind not in "fiub":
        raise ExperimentError(
            f"{type(value).__name__} cannot be attached: expected a tensor, an array, lists of numbers or a number."
        )
    return torch.from_numpy(np.array(array, dtype=np.float32 if array.dtype.kind == "f" else None))


def _refuse_nan(tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        return
    wrong = torch.isnan(tensor).reshape(-1)
    if not bool(wrong.any()):
        return
    if not tensor.dim():
        raise ExperimentError("NaN in place of a number: give a finite one.")
    first = int(wrong.to(torch.uint8).argmax())
    index = [int(i) for i in np.unravel_index(first, tuple(tensor.shape))]
    raise ExperimentError(
        f"NaN in a tensor of shape {list(tensor.shape)}: {int(wrong.sum())} of {math.prod(tensor.shape)} values, "
        f"the first at {index}. Give finite numbers; look at how this tensor was computed."
    )


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
