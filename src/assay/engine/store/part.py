"""A part: numbers that a run has finished, as one safetensors file. What was cheap is many variants in one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from assay.core.codec import canonical, parse
from assay.core.errors import StorageError
from assay.core.provenance import Cost
from assay.engine.table import Cell

ABOUT = "about"
"""The tensor that holds the description, as the bytes of JSON."""

Index = tuple[int, ...]
"""A variant's place in the sweep."""


@dataclass(frozen=True)
class Piece:
    """What is finished of one group of examples."""

    rows: Index
    """The examples' numbers."""
    fixed: bool
    """Whether it has what does not vary: those cells have an empty index."""
    variants: tuple[Index, ...]
    """The places of the variants that are finished, whether they have cells or not."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Part:
    """Pieces, and what was computed for them."""

    pieces: tuple[Piece, ...]
    cost: Cost


class _Variable(BaseModel):
    """Cells of one name and shape: stacked along the first axis of one tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    dims: tuple[str, ...]
    tensor: str
    places: tuple[Index, ...]


class _Piece(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Index
    fixed: bool
    variants: tuple[Index, ...]
    variables: tuple[_Variable, ...]


class _About(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    cost: Cost
    pieces: tuple[_Piece, ...]


def pack(part: Part, key: str) -> bytes:
    """The content of the file. Bits, NaN's too, are kept as they are."""
    tensors: dict[str, Tensor] = {}
    pieces = tuple(_packed(piece, tensors) for piece in part.pieces)
    about = canonical(_About(key=key, cost=part.cost, pieces=pieces).model_dump(mode="json"))
    tensors[ABOUT] = torch.frombuffer(bytearray(about.encode("ascii")), dtype=torch.uint8)
    content: bytes = save(tensors)
    return content


def unpack(content: bytes, key: str) -> Part:
    """Read what `pack` made.

    Raises:
        StorageError: it is no part, or one of another entry.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
        about = _About.model_validate(parse(tensors[ABOUT].numpy().tobytes()))
        pieces = tuple(_unpacked(piece, tensors) for piece in about.pieces)
    except (SafetensorError, ValidationError, KeyError, ValueError) as error:
        raise StorageError(f"it is no part of a result ({str(error).splitlines()[0]})") from error
    if about.key != key:
        raise StorageError(f"it belongs to another entry, {about.key[:12]}")
    return Part(pieces, about.cost)


def _packed(piece: Piece, tensors: dict[str, Tensor]) -> _Piece:
    same: dict[Any, list[Cell]] = {}
    for cell in piece.cells:
        same.setdefault((cell.label, cell.dims, cell.values.dtype, cell.values.shape), []).append(cell)
    variables = []
    for (label, dims, _, _), cells in same.items():
        name = str(len(tensors))
        tensors[name] = torch.stack([cell.values for cell in cells])
        places = tuple(cell.index for cell in cells)
        variables.append(_Variable(label=label, dims=dims, tensor=name, places=places))
    return _Piece(rows=piece.rows, fixed=piece.fixed, variants=piece.variants, variables=tuple(variables))


def _unpacked(piece: _Piece, tensors: dict[str, Tensor]) -> Piece:
    cells = [
        Cell(variable.label, place, piece.rows, values, variable.dims)
        for variable in piece.variables
        for place, values in zip(variable.places, tensors[variable.tensor], strict=True)
    ]
    return Piece(piece.rows, piece.fixed, piece.variants, tuple(cells))


def joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """One piece for each group of examples."""
    groups: dict[Index, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.rows, []).append(piece)
    return tuple(
        Piece(
            rows,
            any(piece.fixed for piece in same),
            tuple(variant for piece in same for variant in piece.variants),
            tuple(cell for piece in same for cell in piece.cells),
        )
        for rows, same in groups.items()
    )
