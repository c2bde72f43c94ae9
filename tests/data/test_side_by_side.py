"""Pairs from lists side by side, and pairs of another tokenizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.data.small_tokenizers import byte_level, word_level

from assay.core.errors import DataError
from assay.data import Example, Pairs, task

CLEAN = [
    "When Mary and John went to the store , John gave a drink to",
    "When Anna and Mark went to the store , Mark gave a drink to",
]
CORRUPT = [
    "When Mary and John went to the store , Mary gave a drink to",
    "When Anna and Mark went to the store , Anna gave a drink to",
]


def test_token_ids_of_any_kind_with_answers_and_positions() -> None:
    clean, corrupt = [[5, 7, 9], [6, 8, 9]], [[5, 3, 9], [6, 4, 9]]
    fields: dict[str, Any] = {"answers": [1, 2], "wrong": 3, "positions": {"subject": 1, "name": [0, 1]}}
    plain = Pairs.from_prompts(clean, corrupt, **fields)
    tensors = fields | {"answers": torch.tensor([1, 2])}
    assert Pairs.from_prompts(torch.tensor(clean), torch.tensor(corrupt), **tensors) == plain
    assert plain.clean_tokens.tolist() == clean and plain.corrupt_tokens.tolist() == corrupt
    assert plain.answer_ids.tolist() == [1, 2] and plain.wrong_ids.tolist() == [3, 3]
    assert plain.position("subject") == [1, 1] and plain.position("name") == [0, 1]


def test_texts_are_the_same_as_examples_by_hand() -> None:
    fields: dict[str, Any] = {"answers": [" Mary", " Anna"], "wrong": [[" John", " Mark"], " Mark"], "template": "ABBA"}
    found = Pairs.from_prompts(CLEAN, CORRUPT, **fields)
    assert found.examples == (
        Example(clean=CLEAN[0], corrupt=CORRUPT[0], answers=(" Mary",), wrong=(" John", " Mark"), template="ABBA"),
        Example(clean=CLEAN[1], corrupt=CORRUPT[1], answers=(" Anna",), wrong=(" Mark",), template="ABBA"),
    )
    assert found.tokens is None and found[0] == Example(
        clean=CLEAN[0], corrupt=CORRUPT[0], answers=" Mary", wrong=[" John", " Mark"], template="ABBA"  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clean": "a text"}, "clean: expected a list of prompts"),
        ({"clean": [1, 2]}, "clean: expected a list of prompts"),
        ({"corrupt": CORRUPT[:1]}, "2 clean prompts and 1 counterfactual"),
        ({"answers": [" a", " b", " c"]}, "answers: 3 values for 2 examples"),
        ({"answers": (" a", " b", " c")}, "answers: 3 values for 2 examples"),
        ({"positions": {"subject": [1]}}, "position 'subject': 1 values for 2 examples"),
        ({"anwers": " a"}, "'anwers' is no field of an example"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Pairs.from_prompts(**({"clean": CLEAN, "corrupt": CORRUPT} | given))


def test_pairs_of_another_tokenizer_are_refused() -> None:
    """The ids of one tokenizer are other words of another: a method would run, on nonsense."""
    pairs = task("ioi", n=2, seed=0, tokenizer=word_level())
    pairs.refuse_model(SimpleNamespace(tokenizer=word_level()))
    pairs.refuse_model(SimpleNamespace(tokenizer=None))
    with pytest.raises(DataError, match=r"aligned with another tokenizer.*pairs\.align\(model\)"):
        pairs.refuse_model(SimpleNamespace(tokenizer=byte_level()))
    Pairs.from_prompts([[1, 2]], [[1, 3]]).refuse_model(SimpleNamespace(tokenizer=byte_level()))
