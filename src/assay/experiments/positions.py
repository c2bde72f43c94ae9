"""Which positions of a prompt, and which heads, dims, examples or steps of a tensor: selections as data.

A position is an index (negative ones count from the end of the prompt), the name of a position that the input defines
for each of its examples ("subject"), a list of these, a slice, or None for all. The name "end" is always known: the
prompt's last token, unless the input defines it otherwise. A position that is named twice is given twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, model_validator

from assay.core.errors import ExperimentError, InputError, nearest
from assay.experiments.record import Record

END = "end"
"""The named position that every prompt has: its last token."""


class Slice(Record):
    """From `start` up to, not including, `stop`, every `step`; bounds past the end are cut off, as in Python.

    `Slice()` is everything, said explicitly: a sweep does not take it for a free axis.
    """

    start: int | str | None = None
    """First index, or a named position; None is the beginning."""
    stop: int | str | None = None
    """The index or named position before which to stop; None is after the last."""
    step: int | None = None
    """Take every so many; at least 1."""

    @model_validator(mode="after")
    def _forwards(self) -> Slice:
        if self.step is not None and self.step < 1:
            raise ExperimentError(f"a slice goes forwards: expected a step of at least 1, got {self.step}.")
        return self

    def __str__(self) -> str:
        parts = ["" if bound is None else str(bound) for bound in (self.start, self.stop, self.step)]
        return ":".join(parts if self.step is not None else parts[:2])


def _as_positions(value: Any) -> Any:
    return _selection(value, names=True)


def _as_indices(value: Any) -> Any:
    return _selection(value, names=False)


def _selection(value: Any, *, names: bool) -> Any:
    if value is None:
        return None
    if isinstance(value, slice):
        return _selection(Slice(start=value.start, stop=value.stop, step=value.step), names=names)
    if isinstance(value, Mapping):
        return _selection(Slice.model_validate(dict(value)), names=names)
    if isinstance(value, Slice):
        if not names and (isinstance(value.start, str) or isinstance(value.stop, str)):
            raise ExperimentError(f"the slice {value} has a named bound: only positions have names, expected indices.")
        return value
    if isinstance(value, list | tuple | range | np.ndarray):
        if len(value) == 0:
            raise ExperimentError("an empty list selects nothing: expected at least one index, or None for all.")
        return tuple(_item(item, names=names) for item in value)
    return _item(value, names=names)


def _item(value: Any, *, names: bool) -> int | str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if names and isinstance(value, str):
        return value
    expected = "an index, a name, a list of these, a slice" if names else "an index, a list of indices, a slice"
    raise ExperimentError(f"{value!r} does not select anything: expected {expected}, or None for all.")


Pos = Annotated[int | str | tuple[int | str, ...] | Slice | None, BeforeValidator(_as_positions)]
"""Positions of a prompt: None for all, an index, a named position, a list of these, or a slice."""

Indices = Annotated[int | tuple[int, ...] | Slice | None, BeforeValidator(_as_indices)]
"""Indices along another axis: None for all, one, a list, or a slice."""


def _not_from_the_end(value: Any) -> Any:
    bounds = (value.start, value.stop) if isinstance(value, Slice) else value if isinstance(value, tuple) else (value,)
    if any(isinstance(bound, int) and bound < 0 for bound in bounds):
        raise ExperimentError(
            f"step={value}: where a text will end is not known before, so steps are counted from 0, the prompt's own pass."
        )
    return value


Steps = Annotated[Indices, AfterValidator(_not_from_the_end)]
"""Steps of a generation: as `Indices`, none of them counted from the end."""


def resolve(
    pos: int | str | Sequence[int | str] | Slice | None,
    *,
    length: int,
    named: Mapping[str, Sequence[int]] | None = None,
    example: int = 0,
) -> list[int]:
    """The indices that `pos` means in one prompt of `length` tokens, all in 0 … length - 1.

    `named` maps a name to one index per example; `example` says which one is meant.

    >>> resolve(["subject", -1], length=7, named={"subject": (2, 3)}, example=1)
    [3, 6]

    Raises:
        InputError: an index is out of range, a name unknown, or a slice empty.
    """

    def index(value: int | str) -> int:
        return _named(value, named or {}, example) if isinstance(value, str) else value

    prompt = f"a prompt of {length} tokens" if not named else f"prompt {example}, which has {length} tokens"
    if isinstance(pos, Slice):
        start, stop = (None if bound is None else index(bound) for bound in (pos.start, pos.stop))
        return _sliced(slice(start, stop, pos.step), length, f"pos={pos}", prompt)
    if pos is None:
        return list(range(length))
    items = [pos] if isinstance(pos, int | str) else list(pos)
    return [_inside(index(item), length, f"position {item!r}", prompt) for item in items]


def resolve_indices(selection: int | Sequence[int] | Slice | None, *, size: int, axis: str) -> list[int]:
    """The indices that a selection means along an axis of `size`; `axis` names it in errors ("head", "d_model")."""
    if isinstance(selection, Slice):
        return _sliced(
            slice(selection.start, selection.stop, selection.step), size, f"{axis}={selection}", f"an axis of {size}"
        )
    if selection is None:
        return list(range(size))
    items = [selection] if isinstance(selection, int) else list(selection)
    return [_inside(item, size, f"{axis} {item}", f"an axis of {size}") for item in items]


def _named(name: str, named: Mapping[str, Sequence[int]], example: int) -> int:
    if name in named:
        return named[name][example]
    if name == END:
        return -1
    known = sorted({*named, END})
    raise InputError(
        f"{name!r} is not a named position of this input: it has {', '.join(known)}.{nearest(name, known)} "
        "Give an index, or add the name to the input's positions."
    )


def _inside(index: int, size: int, what: str, where: str) -> int:
    if not -size <= index < size:
        raise InputError(f"{what} is out of range for {where}: expected {-size} … {size - 1}.")
    return index % size


def _sliced(bounds: slice, size: int, what: str, where: str) -> list[int]:
    chosen = list(range(size))[bounds]
    if not chosen:
        raise InputError(f"{what} selects nothing in {where}.")
    return chosen
