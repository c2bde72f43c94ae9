"""Inputs of every kind as token ids, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models.tiny import WORDS, tiny_llama, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

import assay
from assay.core.errors import AssayError, InputError
from assay.engine.prepare import prompts_for
from assay.experiments.inputs import Chats, Texts
from assay.models.prompts import tokenise

TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}{% if add_generation_prompt %}John{% endif %}"


def tokenizer(*, bos: bool = False) -> PreTrainedTokenizerFast:
    made = tiny_tokenizer()
    made.chat_template = TEMPLATE
    if bos:
        from tokenizers import processors

        made._tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return made


THE_CAT = (WORDS.index("the"), WORDS.index("cat"))


@pytest.mark.parametrize(
    ("given", "rows", "single"),
    [
        ("the cat", (THE_CAT,), True),
        (["the cat"], (THE_CAT,), False),
        (["the cat", "mat"], (THE_CAT, (7,)), False),
        ([3, 4], ((3, 4),), True),
        ((3, 4), ((3, 4),), True),
        ([[3, 4], [5]], ((3, 4), (5,)), False),
        (torch.tensor([3, 4]), ((3, 4),), True),
        (torch.tensor([[3, 4], [5, 6]]), ((3, 4), (5, 6)), False),
        ([torch.tensor([3, 4]), torch.tensor([5])], ((3, 4), (5,)), False),
        ([{"role": "user", "content": "the cat"}], ((*THE_CAT, WORDS.index("John")),), True),
        ([[{"role": "user", "content": "mat"}]], ((7, WORDS.index("John")),), False),
        ({"input_ids": torch.tensor([[3, 4]])}, ((3, 4),), False),
        ({"input_ids": [[3, 4]]}, ((3, 4),), False),
    ],
)
def test_every_kind_of_input(given: Any, rows: tuple[tuple[int, ...], ...], single: bool) -> None:
    prompts = tokenise(given, tokenizer())
    assert prompts.rows == rows
    assert prompts.single == single
    assert prompts.lengths == tuple(len(row) for row in rows)
    assert tokenise(prompts, None) is prompts


def test_whether_a_bos_was_added_is_a_fact() -> None:
    assert tokenise("the cat", tokenizer()).facts == ("no BOS token was added",)
    with_bos = tokenise("the cat", tokenizer(bos=True))
    assert with_bos.rows == ((1, *THE_CAT),)
    assert with_bos.facts == ("the tokenizer added '<s>' before each prompt",)


def test_special_tokens_and_the_generation_prompt_can_be_left_out() -> None:
    """They are fields of an experiment's inputs: a field without an effect would make two hashes of one experiment."""
    model = assay.load(tiny_llama(), tokenizer=tokenizer(bos=True))
    bare = prompts_for(model.network, Texts(texts=("the cat",), special_tokens=False))
    assert bare.rows == (THE_CAT,)
    assert bare.facts == ("no BOS token was added",)
    assert prompts_for(model.network, Texts(texts=("the cat",))).rows == ((1, *THE_CAT),)
    chat = ({"role": "user", "content": "the cat"},)
    closed = prompts_for(model.network, Chats(chats=(chat,), generation_prompt=False))
    assert closed.rows == (THE_CAT,)
    assert closed.facts == ("chat template applied, no generation prompt added",)
    assert prompts_for(model.network, Chats(chats=(chat,))).rows == ((*THE_CAT, WORDS.index("John")),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "an empty list has no prompt in it"),
        ([[]], "a row of token ids is empty"),
        ("", "has no tokens: expected at least one"),
        (torch.randn(2, 3), r"a tensor of float32 \[2, 3\] holds no token ids"),
        (torch.zeros(1, 2, 3, dtype=torch.long), r"a tensor of int64 \[1, 2, 3\] holds no token ids"),
        (torch.tensor(3), r"a tensor of int64 \[\] holds no token ids"),
        (torch.ones(2, 3, dtype=torch.bool), "holds no token ids"),
        ([[1.5, 2.0]], "expected text, a list of texts"),
        ([1, 2.5], "expected text, a list of texts"),
        (["the", 5], "expected text, a list of texts"),
        ([[3, 4], 5], "expected text, a list of texts"),
        ([True, False], "expected text, a list of texts"),
        (5, "cannot use int"),
        (None, "cannot use NoneType"),
        ({}, "no tensor among the inputs"),
        ({"use_cache": False}, "no tensor among the inputs"),
    ],
)
def test_what_is_no_input_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tokenise(given, tokenizer())
    assert "\n" not in str(caught.value)


def test_without_a_tokenizer_text_is_refused_and_ids_are_not() -> None:
    with pytest.raises(InputError, match="has no tokenizer: give token ids"):
        tokenise("the cat", None)
    with pytest.raises(InputError, match="no chat template"):
        tokenise([{"role": "user", "content": "the cat"}], tiny_tokenizer())
    prompts = tokenise([3, 4], None)
    assert prompts.strings(None) == ["3", "4"]
    assert prompts.strings(tokenizer()) == ["the", "cat"]


def test_rows_of_the_models_own_inputs_are_taken_together() -> None:
    pixels, ids = torch.randn(3, 2), torch.tensor([[3], [4], [5]])
    prompts = tokenise({"input_ids": ids, "pixels": pixels, "scale": torch.tensor(2.0), "flag": True}, None)
    some = prompts.inputs([2, 0])
    assert torch.equal(some["input_ids"], ids[[2, 0]])
    assert torch.equal(some["pixels"], pixels[[2, 0]])
    assert some["scale"] == 2.0
    assert some["flag"] is True
    assert torch.equal(prompts.inputs([0, 1, 2])["pixels"], pixels)


def test_ids_out_of_the_vocabulary_are_refused_before_anything_runs() -> None:
    model = assay.load(tiny_llama())
    for wrong in (64, -1):
        with pytest.raises(AssayError, match=r"64 is out of range: this model knows ids 0-63|equal to 0, got -1"):
            model.run([[3, wrong]])
