"""Inputs of a model, as given and as tokenised: strings, token ids, chats, or the model's own input tensors.

What was tokenised and whether a beginning-of-sequence token was added is kept, and reported in every result. Prompts of
different length are never padded here: they are run in groups of equal length, so no number depends on padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from assay.core.errors import InputError


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts. `single` says that one prompt was given, not a list of one."""

    rows: tuple[tuple[int, ...], ...]
    single: bool = False
    texts: tuple[str, ...] | None = None
    facts: tuple[str, ...] = ()
    tensors: Mapping[str, Any] | None = field(default=None, repr=False)
    decoder_start: int | None = None
    """The one token that the decoder reads, where these are an encoder's prompts alone."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each prompt."""
        return tuple(len(row) for row in self.rows)

    @property
    def positions(self) -> tuple[int, ...] | None:
        """Number of positions of each prompt; None where there are no tokens, or several rows of them: an encoder's and a
        decoder's, or codebooks."""
        ids = {"input_ids", "decoder_input_ids"}
        given = {"input_ids": 2} if self.tensors is None else {n: t.ndim for n, t in self.tensors.items() if n in ids}
        return self.lengths if list(given.values()) == [2] and self.decoder_start is None else None

    @property
    def padded(self) -> list[frozenset[int]] | None:
        """The positions of each prompt that an attention mask among the model's own inputs calls padding."""
        mask = None if self.tensors is None else self.tensors.get("attention_mask")
        if not isinstance(mask, Tensor) or mask.shape != (len(self), max(self.lengths)) or bool(mask.bool().all()):
            return None
        return [frozenset((~row.bool()).nonzero()[:, 0].tolist()) for row in mask]

    def ids(self, rows: Sequence[int]) -> Int[Tensor, "batch pos"]:
        """Token ids of prompts of equal length."""
        return torch.tensor([self.rows[i] for i in rows])

    def inputs(self, rows: Sequence[int]) -> dict[str, Any]:
        """The model's keyword arguments for prompts of equal length."""
        if self.tensors is not None:
            everything = list(rows) == list(range(len(self)))
            return (
                dict(self.tensors)
                if everything
                else {name: _of_rows(value, list(rows), len(self)) for name, value in self.tensors.items()}
            )
        ids = self.ids(rows)
        if self.decoder_start is None:
            return {"input_ids": ids}
        return {"input_ids": ids, "decoder_input_ids": torch.full_like(ids[:, :1], self.decoder_start)}

    def strings(self, tokenizer: PreTrainedTokenizerBase | None, row: int = 0) -> list[str]:
        """The tokens of one prompt as text, or their ids when there is no tokenizer."""
        if tokenizer is None:
            return [str(i) for i in self.rows[row]]
        return [str(tokenizer.decode([i])) for i in self.rows[row]]


def tokenise(
    given: Any,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    special_tokens: bool = True,
    generation_prompt: bool = True,
) -> Prompts:
    """Anything that `model.run` accepts, as prompts.

    `special_tokens`: whether the tokenizer adds to a text what it adds by itself. `generation_prompt`: whether a chat
    ends with the opening of the assistant's turn.

    Raises:
        InputError: empty input, text without a tokenizer, or something that is no input at all.
    """
    if isinstance(given, Prompts):
        return given
    if isinstance(given, str):
        return _from_texts([given], tokenizer, special_tokens, single=True)
    if isinstance(given, Mapping):
        return _from_tensors(given)
    if isinstance(given, Tensor):
        return _from_tensor(given)
    if isinstance(given, Sequence) and given:
        first = given[0]
        if all(isinstance(text, str) for text in given):
            return _from_texts(list(given), tokenizer, special_tokens)
        if isinstance(first, Mapping):
            return _from_chats([list(given)], tokenizer, generation_prompt, single=True)
        if all(_is_id(i) for i in given):
            return _from_ids([list(given)], single=True)
        if isinstance(first, list | tuple) and first and isinstance(first[0], Mapping):
            return _from_chats([list(chat) for chat in given], tokenizer, generation_prompt)
        rows = [row.tolist() if isinstance(row, Tensor) else row for row in given]
        if all(isinstance(row, list | tuple) and all(_is_id(i) for i in row) for row in rows):
            return _from_ids([list(row) for row in rows])
    raise InputError(
        f"cannot use {type(given).__name__} {str(given)[:60]!r} as input: expected text, a list of texts, "
        "token ids, chat messages, or a dict of the model's own inputs; an empty list has no prompt in it."
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _from_tensor(ids: Tensor) -> Prompts:
    if ids.ndim not in (1, 2) or ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise InputError(
            f"a tensor of {str(ids.dtype).removeprefix('torch.')} {list(ids.shape)} holds no token ids: expected integers "
            "[pos] or [batch, pos]; give other inputs of the model by name, as in {'inputs_embeds': tensor}."
        )
    return _from_ids(ids.tolist() if ids.ndim == 2 else [ids.tolist()], single=ids.ndim == 1)


def _from_texts(
    texts: list[str], tokenizer: PreTrainedTokenizerBase | None, special_tokens: bool, *, single: bool = False
) -> Prompts:
    if tokenizer is None:
        raise InputError(
            "this model has no tokenizer: give token ids (a list, or a tensor [batch, pos]) instead of text."
        )
    rows = tuple(tuple(tokenizer(text, add_special_tokens=special_tokens)["input_ids"]) for text in texts)
    empty = [i for i, row in enumerate(rows) if not row]
    if empty:
        raise InputError(f"prompt {empty[0]} ({texts[empty[0]]!r}) has no tokens: expected at least one.")
    return Prompts(rows, single, tuple(texts), (_bos_fact(rows, tokenizer, special_tokens),))


def _from_chats(
    chats: list[list[Mapping[str, str]]],
    tokenizer: PreTrainedTokenizerBase | None,
    generation_prompt: bool,
    *,
    single: bool = False,
) -> Prompts:
    if tokenizer is None or not getattr(tokenizer, "chat_template", None):
        raise InputError("this model's tokenizer has no chat template: give text instead of chat messages.")
    texts = [
        str(tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=generation_prompt)) for c in chats
    ]
    rows = tuple(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    fact = f"chat template applied, {'' if generation_prompt else 'no '}generation prompt added"
    return Prompts(rows, single, tuple(texts), (fact,))


def _from_ids(rows: list[list[int]], *, single: bool = False) -> Prompts:
    if not rows or any(not row for row in rows):
        raise InputError("a row of token ids is empty: expected at least one token in each prompt.")
    return Prompts(
        tuple(tuple(int(i) for i in row) for row in rows), single, None, ("token ids given: nothing was added",)
    )


def _from_tensors(given: Mapping[str, Any]) -> Prompts:
    tensors = {
        name: value if isinstance(value, Tensor) or not isinstance(value, list) else torch.tensor(value)
        for name, value in given.items()
    }
    main = next((tensors[n] for n in ("input_ids", "decoder_input_ids") if n in tensors), None)
    first = main if main is not None else next((v for v in tensors.values() if isinstance(v, Tensor)), None)
    if first is None or first.ndim == 0:
        raise InputError(
            f"no tensor among the inputs {sorted(given)}: expected the model's own inputs, with a batch axis."
        )
    rows = [[0]] * first.shape[0]
    if main is not None and main.ndim in (2, 3):
        rows = (main if main.ndim == 2 else main[:, 0]).tolist()  # of several codebooks the first one's
    return Prompts(tuple(map(tuple, rows)), False, None, ("the model's own inputs, passed on as given",), tensors)


def _of_rows(value: Any, rows: list[int], n: int) -> Any:
    """Some of the n rows of a tensor, or of those inside a dict or tuple; anything else as it is."""
    if isinstance(value, Mapping):
        return {name: _of_rows(each, rows, n) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_of_rows(each, rows, n) for each in value)
    return value[rows] if isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == n else value


def _bos_fact(rows: tuple[tuple[int, ...], ...], tokenizer: PreTrainedTokenizerBase, special_tokens: bool) -> str:
    bos = tokenizer.bos_token_id
    if special_tokens and bos is not None and all(row[0] == bos for row in rows):
        return f"the tokenizer added {tokenizer.bos_token!r} before each prompt"
    return "no BOS token was added"
