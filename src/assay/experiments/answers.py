"""What a metric asks about: tokens, given as text or as ids, for all examples or one by one.

    " Mary"                      the same answer for every example
    [" Mary", " Anne"]           one for each example
    5                            a token id, for every example
    [5, 7]                       one token id for each example
    [[5, 6], [7, 8]]             a sequence of token ids for each example (in `accuracy(wrong=...)`: alternatives)

Text is taken literally: most tokenizers write the space before a word into its token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator
from torch import Tensor

from assay.core.errors import ExperimentError, InputError

Answer = str | int | tuple[str | int, ...]
"""What is asked about in one example."""


def _as_answers(value: Any) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    if value is None or _is_item(value):
        return value
    if isinstance(value, list | tuple) and value:
        return tuple(_as_answer(item) for item in value)
    raise ExperimentError(
        f"{value!r} is not an answer: expected text, a token id, or a list with one for each example."
    )


def _as_answer(value: Any) -> Answer:
    if _is_item(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, list | tuple) and value and all(_is_item(item) for item in value):
        return tuple(value)
    raise ExperimentError(f"{value!r} is not an answer for an example: expected text, a token id, or a list of them.")


def _is_item(value: Any) -> bool:
    if isinstance(value, str):
        return value != ""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


Answers = Annotated[str | int | tuple[Answer, ...], BeforeValidator(_as_answers)]
"""Answers for all examples: one for all of them, or a list with one for each."""


def per_example(answers: str | int | Sequence[Answer], *, examples: int, what: str = "answers") -> tuple[Answer, ...]:
    """One answer for each of `examples` examples.

    Raises:
        InputError: a list with another number of answers.
    """
    if isinstance(answers, str | int):
        return (answers,) * examples
    if len(answers) not in (1, examples):
        raise InputError(
            f"{len(answers)} {what} for {examples} examples: expected one for each, or a single one for all."
        )
    return tuple(answers) * (examples // len(answers))
