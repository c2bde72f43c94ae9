"""What goes into a model: texts, token ids, chats, or the model's own tensors; with named positions and answers.

An input given as one plain string (one list of ids, one chat) is `single`: results then have no example axis. A list
of one is not the same: it has an example axis of length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from assay.core.attachments import Attachment
from assay.core.errors import InputError
from assay.experiments.answers import Answers, per_example
from assay.experiments.nested import flat
from assay.experiments.record import Record

TokenId = Annotated[int, Field(ge=0, strict=True)]


class Input(Record):
    """Examples that a run reads. Each kind is a subclass."""

    kind: str
    """In what form the examples are given."""
    single: bool = False
    """Whether it was given as one example, not as a list: results then have no example axis."""
    positions: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Named positions: for each name, one index per example."""
    answers: Answers | None = None
    """The right answers, for metrics that name none."""
    wrong: Answers | None = None
    """The wrong answers, for metrics that name none."""

    @property
    def examples(self) -> int:
        """How many examples there are."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _counts_agree(self) -> Input:
        if self.examples == 0:
            raise InputError("an input needs at least one example; this one is empty.")
        for name, indices in self.positions.items():
            if len(indices) != self.examples:
                raise InputError(
                    f"the named position {name!r} has {len(indices)} indices for {self.examples} examples: "
                    "expected one for each."
                )
        for what, answers in (("answers", self.answers), ("wrong answers", self.wrong)):
            if answers is not None:
                per_example(answers, examples=self.examples, what=what)
        return self

    @model_validator(mode="after")
    def _single_is_one(self) -> Input:
        if self.single and self.examples != 1:
            raise InputError(f"a single input has one example; this one has {self.examples}.")
        return self


class Texts(Input):
    """Plain texts."""

    kind: Literal["texts"] = "texts"
    texts: tuple[str, ...]
    """One text per example."""
    special_tokens: bool = True
    """Whether the tokenizer adds the special tokens that it adds by itself, such as a beginning-of-text token."""

    @property
    def examples(self) -> int:
        """How many texts there are."""
        return len(self.texts)


class Tokens(Input):
    """Token ids, taken as they are."""

    kind: Literal["tokens"] = "tokens"
    tokens: tuple[Annotated[tuple[TokenId, ...], Field(min_length=1)], ...]
    """One sequence of ids per example."""

    @property
    def examples(self) -> int:
        """How many sequences there are."""
        return len(self.tokens)


class Message(Record):
    """One turn of a chat."""

    role: str
    """Who speaks: system, user, assistant, …"""
    content: str
    """What is said."""


class Chats(Input):
    """Chats, written out by the tokenizer's chat template."""

    kind: Literal["chats"] = "chats"
    chats: tuple[Annotated[tuple[Message, ...], Field(min_length=1)], ...]
    """One list of messages per example."""
    generation_prompt: bool = True
    """Whether the template opens the assistant's next turn at the end."""

    @property
    def examples(self) -> int:
        """How many chats there are."""
        return len(self.chats)


class ModelInputs(Input):
    """The model's own inputs by argument name: token ids, pixels, an encoder's and a decoder's ids."""

    kind: Literal["tensors"] = "tensors"
    tensors: dict[str, Attachment] = Field(min_length=1)
    """The tensors, all with as many rows as there are examples; one inside others by where it lies, `states.full.0`."""

    @property
    def examples(self) -> int:
        """The tensors' common number of rows."""
        rows = {name: tensor.shape[0] if tensor.shape else 0 for name, tensor in self.tensors.items()}
        if len(set(rows.values())) != 1:
            raise InputError(f"the tensors of an input need the same number of rows; these have {rows}.")
        return next(iter(rows.values()))


EXPECTED = "a text, a list of texts, token ids, lists of token ids, chat messages, or a dict of the model's own tensors"


def as_input(value: Any, **more: Any) -> Input:
    """An `Input` from whatever people write: see `EXPECTED`. `more` are fields such as `positions` and `answers`.

    >>> as_input("Hello").single, as_input(["Hello"]).single, as_input([[5, 6], [7]]).kind
    (True, False, 'tokens')
    """
    if isinstance(value, Input):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return type(value)(**fields | more) if more else value
    if isinstance(value, Tensor | np.ndarray):
        value = _ids_of(value)
    if isinstance(value, str):
        return Texts(texts=(value,), single=True, **_single_positions(more))
    if isinstance(value, Mapping):
        return ModelInputs(tensors=flat(value), **more)
    if not isinstance(value, list | tuple):
        raise InputError(f"{type(value).__name__} is not an input: expected {EXPECTED}.")
    return _from_list(list(value), more)


def _ids_of(value: Any) -> Any:
    """A tensor or array of token ids as lists."""
    if isinstance(value, Tensor):
        whole = value.dtype != torch.bool and not value.is_floating_point() and not value.is_complex()
    else:
        whole = value.dtype.kind in "iu"
    if not whole or value.ndim not in (1, 2):
        kind = str(value.dtype).removeprefix("torch.")
        raise InputError(
            f"a tensor of {kind} {list(value.shape)} holds no token ids: expected integers [pos] or [batch, pos]; give other "
            "inputs of the model by name, as in {'inputs_embeds': tensor}."
        )
    return value.tolist()


def _from_list(value: list[Any], more: dict[str, Any]) -> Input:
    if not value:
        raise InputError(f"an empty list is not an input: expected {EXPECTED}.")
    if _all(value, _is_text):
        return Texts(texts=tuple(value), **more)
    if _all(value, _is_id):
        return Tokens(tokens=(tuple(value),), single=True, **_single_positions(more))
    if _all(value, _is_message):
        return Chats(chats=(tuple(value),), single=True, **_single_positions(more))
    rows = [row.tolist() if isinstance(row, Tensor | np.ndarray) else row for row in value]
    if _all(rows, lambda row: isinstance(row, list | tuple) and _all(row, _is_id)):
        return Tokens(tokens=tuple(tuple(row) for row in rows), **more)
    if _all(rows, lambda row: isinstance(row, list | tuple) and _all(row, _is_message)):
        return Chats(chats=tuple(tuple(row) for row in rows), **more)
    kinds = ", ".join(sorted({_kind(item) for item in value}))
    raise InputError(f"a list of {kinds} is not an input: expected {EXPECTED}.")


def _kind(item: Any) -> str:
    inside = sorted({type(each).__name__ for each in item}) if isinstance(item, list | tuple) else []
    return f"{type(item).__name__} of {', '.join(inside)}" if inside else type(item).__name__


def _all(items: Any, test: Callable[[Any], bool]) -> bool:
    return all(test(item) for item in items)


def _is_text(item: Any) -> bool:
    return isinstance(item, str)


def _is_id(item: Any) -> bool:
    return isinstance(item, int | np.integer) and not isinstance(item, bool)


def _is_message(item: Any) -> bool:
    return isinstance(item, Message) or (isinstance(item, Mapping) and "role" in item)


def _single_positions(more: dict[str, Any]) -> dict[str, Any]:
    """For one example, a named position may be one index."""
    if "positions" not in more:
        return more
    positions = {name: (at,) if isinstance(at, int) else at for name, at in more["positions"].items()}
    return {**more, "positions": positions}


def _coerce(value: Any) -> Any:
    return value if isinstance(value, Mapping) and "kind" in value else as_input(value)


AnyInput = Annotated[
    Annotated[Texts | Tokens | Chats | ModelInputs, Field(discriminator="kind")], BeforeValidator(_coerce)
]
"""Any input, told apart by `kind`; plain values are turned into one."""
