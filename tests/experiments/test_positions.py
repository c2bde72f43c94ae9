"""Selections of positions, heads, dims and examples: the same indices as Python and torch would take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.errors import InputError
from assay.experiments.positions import Slice, resolve, resolve_indices

BOUND = st.none() | st.integers(-8, 8)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 7), BOUND, BOUND, st.none() | st.integers(1, 3))
def test_a_slice_is_what_it_is_in_python(size: int, start: int | None, stop: int | None, step: int | None) -> None:
    wanted = list(range(size))[start:stop:step]
    chosen = Slice(start=start, stop=stop, step=step)
    for find in (lambda: resolve(chosen, length=size), lambda: resolve_indices(chosen, size=size, axis="head")):
        if wanted:
            assert find() == wanted
        else:
            with pytest.raises(InputError, match="selects nothing"):
                find()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(-8, 8), min_size=1, max_size=4))
def test_indices_are_what_they_are_in_torch(size: int, indices: list[int]) -> None:
    try:
        wanted = torch.arange(size)[indices].tolist()
    except IndexError:
        with pytest.raises(InputError, match="out of range"):
            resolve(indices, length=size)
    else:
        assert resolve(indices, length=size) == wanted
        assert resolve_indices(indices, size=size, axis="head") == wanted


@pytest.mark.parametrize(
    ("pos", "expected"),
    [
        ("subject", [3]),
        ("end", [6]),
        (["subject", 0, "subject"], [3, 0, 3]),
        (Slice(start="subject"), [3, 4, 5, 6]),
        (Slice(stop="subject"), [0, 1, 2]),
        (Slice(start="subject", stop="end", step=2), [3, 5]),
        (None, [0, 1, 2, 3, 4, 5, 6]),
    ],
    ids=str,
)
def test_names_mean_each_examples_own_place(pos: Any, expected: list[int]) -> None:
    named = {"subject": (2, 3)}
    assert resolve(pos, length=7, named=named, example=1) == expected
    if pos == "subject":
        assert resolve(pos, length=7, named=named, example=0) == [2]


def test_an_input_may_mean_something_else_by_end() -> None:
    assert resolve("end", length=7, named={"end": (4,)}) == [4]


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InputError) as caught:
        resolve("subjects", length=7, named={"subject": (2,), "object": (3,)})
    assert str(caught.value) == (
        "'subjects' is not a named position of this input: it has end, object, subject. Nearest: subject, object. "
        "Give an index, or add the name to the input's positions."
    )


def test_out_of_range_says_of_what() -> None:
    with pytest.raises(InputError, match=r"^position 7 is out of range for a prompt of 7 tokens: expected -7 … 6\.$"):
        resolve(7, length=7)
    with pytest.raises(InputError, match=r"^head -10 is out of range for an axis of 9: expected -9 … 8\.$"):
        resolve_indices(-10, size=9, axis="head")
