"""Whether the tensors that edits bring fit the part of the site that they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.core.attachments import Attachment
from assay.core.errors import AssayError, InputError, ShapeError
from assay.experiments.edits import Edit
from assay.experiments.facts import HEAD_AXES, POSITION_AXES, SiteFacts
from assay.experiments.given_edits import Add, ProjectOut, Set
from assay.experiments.places import Reader, on_prompt
from assay.experiments.positions import resolve_indices
from assay.experiments.sourced_edits import Swap

Size = tuple[str, int | None]
"""An axis with its size; None where it is not known, 0 where it varies between examples."""


def value_problems(edit: Edit, site: SiteFacts, *, name: str, reader: Reader) -> Iterator[AssayError]:
    """A value, vector, set of directions or basis that does not fit. `name` is the site as the edit names it."""
    if not isinstance(edit, Set | Add | ProjectOut | Swap):
        return
    try:
        sizes = selected(edit, site, name=name, reader=reader)
    except InputError:
        return  # reported where the places themselves are checked
    if isinstance(edit, Set) and isinstance(edit.value, Attachment):
        yield from _broadcast(edit, "value", edit.value.shape, sizes)
    elif isinstance(edit, Add):
        yield from _broadcast(edit, "vector", edit.vector.shape, sizes)
    elif isinstance(edit, ProjectOut):
        yield from _width(edit, "directions", edit.directions.shape, sizes[-1], axis=-1)
    elif isinstance(edit, Swap):
        yield from _width(edit, "basis", edit.basis.shape, sizes[-1], axis=0)


def selected(edit: Edit, site: SiteFacts, *, name: str, reader: Reader) -> list[Size]:
    """The axes of the part that the edit changes, with their sizes."""
    sizes = [_size(axis, edit, site, on=reader if on_prompt(site, name) else None) for axis in site.axes]
    sizes[0] = _batch(edit, reader) if site.axes[0] == "batch" else sizes[0]
    last, full = sizes[-1]
    if edit.dims is not None and full is not None:
        sizes[-1] = (last, len(resolve_indices(edit.dims, size=full, axis=last)))
    return sizes


def _batch(edit: Edit, reader: Reader) -> Size:
    return ("example", len(resolve_indices(edit.examples, size=reader.given.examples, axis="example")))


def _size(axis: str, edit: Edit, site: SiteFacts, *, on: Reader | None) -> Size:
    if axis in HEAD_AXES:
        return (axis, len(resolve_indices(edit.head, size=site.sizes[axis], axis=axis)))
    if axis in site.sizes or axis not in (*POSITION_AXES, "key"):
        return (axis, site.sizes.get(axis))
    if on is None or on.lengths is None:
        return (axis, None)
    pos = None if axis == "key" else edit.pos
    counts = {len(on.positions(pos, example)) for example in on.different(pos, edit.examples)}
    return (axis, counts.pop() if len(counts) == 1 else 0)


def _broadcast(edit: Edit, what: str, shape: Sequence[int], sizes: Sequence[Size]) -> Iterator[AssayError]:
    without = [size for size in sizes if not _one_index(edit, size[0])]
    if _fits(shape, sizes) or _fits(shape, without):
        return
    yield ShapeError(
        f"{edit}: the {what} has shape {list(shape)}, which does not broadcast to the selected part "
        f"{sizes_text(sizes)}. Expected, for example, [{sizes[-1][1] or sizes[-1][0]}]."
    )


def _width(edit: Edit, what: str, shape: Sequence[int], last: Size, *, axis: int) -> Iterator[AssayError]:
    name, size = last
    if size is not None and shape[axis] != size:
        expected = f"[k, {size}] or [{size}]" if axis == -1 else f"[{size}, k] or [{size}]"
        yield ShapeError(
            f"{edit}: the {what} {'has' if what == 'basis' else 'have'} shape {list(shape)}, and the selected part has "
            f"{name} {size}. Expected {expected}."
        )


def _fits(shape: Sequence[int], sizes: Sequence[Size]) -> bool:
    if len(shape) > len(sizes):
        return False
    tail = sizes[len(sizes) - len(shape) :]
    return all(given == 1 or size is None or given == size for given, (_, size) in zip(shape, tail, strict=True))


def _one_index(edit: Edit, axis: str) -> bool:
    where = edit.pos if axis in POSITION_AXES else edit.head if axis in HEAD_AXES else None
    return isinstance(where, int | str)


def sizes_text(sizes: Sequence[Size]) -> str:
    """`[example 1, pos 7, d_model 576]`."""
    return f"[{', '.join(f'{axis} {size}' if size else axis for axis, size in sizes)}]"
