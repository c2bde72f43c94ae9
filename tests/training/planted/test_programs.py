"""Programs in plain Python: known answers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.training.planted.library import fraction_of_previous, histogram, indirect_object, reverse, sort
from assay.training.planted.programs import Aggregate, Indices, Map, Pair, Select, Tokens, Width, run


@given(st.lists(st.sampled_from("abcde"), min_size=4, max_size=4))
def test_reverse(word: list[str]) -> None:
    assert reverse().answers(word) == word[::-1]


@given(st.lists(st.sampled_from("xyz"), min_size=4, max_size=4))
def test_fraction_of_previous(word: list[str]) -> None:
    expected = [word[: i + 1].count("x") / (i + 1) for i in range(4)]
    assert fraction_of_previous().answers(word) == pytest.approx(expected)


@given(st.permutations(range(6)))
def test_sort(numbers: list[int]) -> None:
    assert sort().answers(numbers[:4]) == sorted(numbers[:4])


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=4))
def test_histogram(word: list[str]) -> None:
    assert histogram().answers(word) == [Counter(word)[letter] for letter in word]


def test_indirect_object() -> None:
    program = indirect_object()
    assert program.answers(("A", "B", "gave", "B", "to"))[-1] == "A"
    assert program.answers(("A", "B", "A", "gave", "to"))[-1] == "B"


def test_causal_programs_do_not_look_ahead() -> None:
    tokens = Tokens(tuple("ab"))
    same = Width(Select(tokens, tokens, lambda key, query: key == query), most=3)
    assert run(same, "aba") == [2, 1, 2]
    assert run(same, "aba", causal=True) == [1, 1, 2]


def test_where_nothing_or_several_values_are_selected_there_is_no_value() -> None:
    tokens, places = Tokens(tuple("ab")), Indices(3)
    before = Aggregate(Select(places, places, lambda key, query: key == query - 1), tokens)
    assert run(before, "aba") == [None, "a", "b"]
    everything = Aggregate(Select(places, places, lambda key, query: True), tokens)
    assert run(everything, "aba") == [None, None, None]
    assert run(Map(before, str.upper), "aba") == [None, "A", "B"]
    assert run(Pair(before, tokens, lambda a, b: a + b), "aba") == [None, "ab", "ba"]
