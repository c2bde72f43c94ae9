"""What is stored is what is read, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import Tensor

from assay.core.errors import StorageError
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.engine.store.entry import Entry
from assay.engine.store.part import Part, Piece, joined, pack, unpack
from assay.engine.table import Cell

KEY = "ab" * 32
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8]
NAMES = st.text(min_size=1, max_size=12)
COSTS = st.builds(Cost, passes=st.integers(0, 9**9), seconds=st.floats(0, 1e9), flops=st.none() | st.floats(0, 1e30))


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bits at all, NaNs with a payload too, and sizes of zero."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(np.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    if dtype == torch.bool:
        data = bytes(byte & 1 for byte in data)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape) if count else torch.zeros(shape, dtype=dtype)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    rows = tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=3)))
    variants = tuple(draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3, unique=True)))
    fixed = draw(st.booleans())
    cells = [
        Cell(draw(NAMES), place, rows, draw(tensors()), tuple(draw(st.lists(NAMES, max_size=3))))
        for place in (*variants, *([()] if fixed else []))
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Piece(rows, fixed, variants, tuple(cells))


def content(cells: tuple[Cell, ...]) -> list[tuple[object, ...]]:
    """All of cells that can be compared, in an order of its own."""
    bits = [c.values.contiguous().reshape(-1).view(torch.uint8).tolist() if c.values.numel() else [] for c in cells]
    return sorted(
        (c.label, c.index, tuple(c.rows), c.dims, str(c.values.dtype), tuple(c.values.shape), tuple(b))
        for c, b in zip(cells, bits, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces(), max_size=3), COSTS)
def test_any_part_comes_back(made: list[Piece], cost: Cost) -> None:
    back = unpack(pack(Part(tuple(made), cost), KEY), KEY)
    assert back.cost == cost and len(back.pieces) == len(made)
    for one, two in zip(made, back.pieces, strict=True):
        assert (one.rows, one.fixed, one.variants) == (two.rows, two.fixed, two.variants)
        assert content(one.cells) == content(two.cells)


@settings(max_examples=30, deadline=None)
@given(st.lists(pieces(), max_size=4))
def test_pieces_of_a_group_are_joined_and_nothing_is_lost(made: list[Piece]) -> None:
    whole = joined(made)
    assert sorted(p.rows for p in whole) == sorted({p.rows for p in made})
    assert content(tuple(c for p in whole for c in p.cells)) == content(tuple(c for p in made for c in p.cells))
    assert sum(len(p.variants) for p in whole) == sum(len(p.variants) for p in made)


def test_many_cheap_variants_are_few_tensors() -> None:
    cells = tuple(Cell("m", (i,), (0, 1), torch.tensor([float(i), -i]), ("v", "example")) for i in range(2000))
    packed = pack(Part((Piece((0, 1), False, tuple((i,) for i in range(2000)), cells),), Cost()), KEY)
    assert len(packed) < 2000 * 40  # 16 bytes of numbers each, and their places


def test_a_part_of_another_entry_is_refused() -> None:
    packed = pack(Part((), Cost()), KEY)
    with pytest.raises(StorageError, match="belongs to another entry, abababababab"):
        unpack(packed, "cd" * 32)
    for wrong in (b"", b"nonsense", packed[:-4], pack(Part((), Cost()), KEY)[8:]):
        with pytest.raises(StorageError, match="no part of a result"):
            unpack(wrong, KEY)


VALUES = arrays(
    st.sampled_from([np.dtype(t) for t in (np.float64, np.float32, np.float16, np.int64, np.bool_)]),
    array_shapes(min_dims=0, max_dims=3, max_side=3),
)


@settings(max_examples=40, deadline=None)
@given(
    values=st.dictionaries(NAMES, VALUES, min_size=1, max_size=3),
    axis=st.lists(st.integers(-5, 99) | NAMES, min_size=1, max_size=4, unique=True),
    facts=st.lists(st.text(max_size=20), max_size=3),
    cost=COSTS,
)
def test_any_result_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    values: dict[str, np.ndarray],  # type: ignore[type-arg]
    axis: list[object],
    facts: list[str],
    cost: Cost,
) -> None:
    variables = {name: ([f"{name}.{i}" for i in range(v.ndim)], v) for name, v in values.items()}
    column = np.empty(len(axis), dtype=object)
    column[:] = axis
    data = xr.Dataset(variables, coords={"an axis of its own": ("an axis of its own", column)})
    made = Result(data, Provenance.now(facts=facts), cost)
    entry = Entry(tmp_path_factory.mktemp("s") / KEY)
    back = entry.read_result(entry.write_result(made))
    xr.testing.assert_identical(back.data, data)
    for name, array in values.items():
        assert back[name].values.dtype == array.dtype and back[name].values.tobytes() == array.tobytes()
    assert back.provenance == made.provenance and back.cost == cost and back.names == made.names
