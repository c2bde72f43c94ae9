"""Answers of a metric as token ids, one or several for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from assay.core.errors import ExperimentError
from assay.experiments.answers import Answer, Answers, per_example
from assay.experiments.inputs import Input
from assay.experiments.metrics import Accuracy

Ids = tuple[int, ...]


def token_ids(
    answers: Any, examples: int, tokenizer: PreTrainedTokenizerBase | None, *, what: str, single: bool
) -> list[Ids]:
    """One token sequence for each example. With `single`, each must be one token.

    Raises:
        ExperimentError: an answer that is several tokens where one is needed; the split is shown.
    """
    return [_ids(answer, tokenizer, what=what, single=single) for answer in per_example(answers, examples=examples)]


def alternatives(
    answers: Any, examples: int, tokenizer: PreTrainedTokenizerBase | None, *, what: str
) -> list[list[int]]:
    """Several single tokens for each example: the wrong answers of an accuracy."""
    found = []
    for answer in per_example(answers, examples=examples):
        items: Sequence[Any] = answer if isinstance(answer, tuple) else (answer,)
        found.append([_ids(item, tokenizer, what=what, single=True)[0] for item in items])
    return found


def put_after(inputs: Mapping[str, Any], more: Tensor) -> dict[str, Any]:
    """A model's inputs with more tokens after each prompt, seen like the others."""
    longer = {**inputs, "input_ids": torch.cat([inputs["input_ids"], more], dim=1)}
    if isinstance(mask := inputs.get("attention_mask"), Tensor):
        longer["attention_mask"] = torch.cat([mask, mask.new_ones(more.shape)], dim=1)
    return longer


def summed_logprob(logits: Float[Tensor, "batch pos vocab"], answers: Sequence[Ids]) -> Float[Tensor, " batch"]:
    """The summed log-probability of answers of one length, each token at its position."""
    log = torch.log_softmax(logits.double(), -1)
    ids = torch.tensor(answers).to(log.device)
    return log.gather(-1, ids[..., None])[..., 0].sum(-1)


def rivals(metric: Accuracy, given: Input) -> Answers | None:
    """The wrong answers of an accuracy: its own, or the input's if it has no answer of its own; None is every other token."""
    if metric.wrong is not None:
        return metric.wrong
    return given.wrong if metric.answer is None else None


def _ids(answer: Answer, tokenizer: PreTrainedTokenizerBase | None, *, what: str, single: bool) -> Ids:
    if isinstance(answer, int):
        return (answer,)
    if isinstance(answer, tuple):
        ids = tuple(i for item in answer for i in _ids(item, tokenizer, what=what, single=True))
    else:
        ids = _encode(answer, tokenizer, what)
    if single and len(ids) != 1:
        split = " | ".join(repr(tokenizer.decode([i])) if tokenizer else str(i) for i in ids)
        raise ExperimentError(
            f"{what}: {answer!r} is {len(ids)} tokens ({split}), expected a single one. Give a token id, "
            "another word, or use metric.logprob or metric.prob, which score several tokens."
        )
    return ids


def _encode(text: str, tokenizer: PreTrainedTokenizerBase | None, what: str) -> Ids:
    if tokenizer is None:
        raise ExperimentError(
            f"{what}: this model has no tokenizer, so the answer {text!r} must be given as a token id."
        )
    ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not ids:
        raise ExperimentError(f"{what}: {text!r} has no tokens.")
    return ids
