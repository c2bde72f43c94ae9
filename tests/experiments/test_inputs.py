"""Inputs in every form that people write, and answers for their examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.core.errors import ExperimentError, InputError
from assay.experiments.answers import per_example
from assay.experiments.inputs import Texts, Tokens, as_input

CHAT = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("value", "kind", "single", "examples"),
    [
        ("text", "texts", True, 1),
        (["text"], "texts", False, 1),
        (("a", "b"), "texts", False, 2),
        ([5, 6], "tokens", True, 1),
        (torch.tensor([5, 6]), "tokens", True, 1),
        (np.array([5, 6]), "tokens", True, 1),
        ([[5, 6], [7]], "tokens", False, 2),
        (torch.tensor([[5, 6]]), "tokens", False, 1),
        ([torch.tensor([5, 6]), [7]], "tokens", False, 2),
        (CHAT, "chats", True, 1),
        ([CHAT, CHAT], "chats", False, 2),
        ({"input_ids": torch.tensor([[5, 6], [7, 8]])}, "tensors", False, 2),
        (Texts(texts=("a",)), "texts", False, 1),
    ],
    ids=str,
)
def test_what_people_write_is_understood(value: Any, kind: str, single: bool, examples: int) -> None:
    found = as_input(value)
    assert (found.kind, found.single, found.examples) == (kind, single, examples)


@pytest.mark.parametrize("value", [3, None, [], [3.5], ["a", 5], [[]], [["a", "b"]], [{"text": "a"}], [True, False]])
def test_what_is_no_input_is_refused_with_what_was_expected(value: Any) -> None:
    with pytest.raises((InputError, ExperimentError)) as caught:
        as_input(value)
    assert "expected" in str(caught.value) or "at least 1 item" in str(caught.value)


def test_a_named_position_of_one_example_may_be_one_index() -> None:
    assert as_input("a b c", positions={"subject": 1}).positions == {"subject": (1,)}
    assert as_input(as_input("a b c"), positions={"subject": (1,)}).positions == {"subject": (1,)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"positions": {"subject": [1]}}, "the named position 'subject' has 1 indices for 2 examples: expected one for each."),
        ({"answers": ["a", "b", "c"]}, "3 answers for 2 examples: expected one for each, or a single one for all."),
        ({"wrong": [1, 2, 3]}, "3 wrong answers for 2 examples"),
        ({"single": True}, "a single input has one example; this one has 2."),
    ],
)  # fmt: skip
def test_what_comes_with_examples_must_fit_their_number(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        as_input(["a", "b"], **more)
    assert message in str(caught.value)


def test_tensors_of_different_numbers_of_rows() -> None:
    with pytest.raises(InputError, match=r"need the same number of rows; these have \{'a': 2, 'b': 3\}"):
        as_input({"a": torch.ones(2, 1), "b": torch.ones(3, 1)})


def test_ids_are_whole_numbers_from_zero() -> None:
    for wrong in ([[-1]], [[1.0]], [["1"]], [[True]]):
        with pytest.raises((InputError, ExperimentError)):
            Tokens(tokens=wrong)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (" a", (" a", " a")),
        (7, (7, 7)),
        ([" a", " b"], (" a", " b")),
        ([" a"], (" a", " a")),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_answers_are_for_all_or_one_by_one(answers: Any, expected: Any) -> None:
    given = as_input(["x", "y"], answers=answers)
    assert given.answers is not None
    assert per_example(given.answers, examples=2) == expected


def test_answers_may_be_a_tensor_of_ids() -> None:
    assert as_input(["x", "y"], answers=torch.tensor([3, 4])).answers == (3, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.ones(1, 3), r"a tensor of float32 \[1, 3\] holds no token ids"),
        (np.ones((1, 3)), r"a tensor of float64 \[1, 3\] holds no token ids"),
        (torch.ones(1, 3, dtype=torch.bool), r"a tensor of bool \[1, 3\] holds no token ids"),
        (torch.ones(1, 1, 3, dtype=torch.long), r"a tensor of int64 \[1, 1, 3\] holds no token ids"),
        ([[1.0, 2.0]], r"a list of list of float is not an input"),
    ],
)
def test_numbers_that_are_no_token_ids(given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_input(given)
