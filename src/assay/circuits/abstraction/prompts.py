"""What a network reads for a setting of a causal model: prompts with named positions, token ids, or its own tensors."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from assay.circuits.abstraction.causal_model import Setting
from assay.core.attachments import Attachment
from assay.core.errors import DataError, nearest
from assay.data.example import Example, Place
from assay.data.pairs import Pairs
from assay.experiments.inputs import Input, ModelInputs, as_input

Encode = str | Callable[[Setting], Any]
"""A template with the inputs in braces, or a function of a setting."""


@dataclass(frozen=True)
class Written:
    """What prompts need beside their text."""

    tokenizer: Any = None
    """A tokenizer, or a model that has one: for templates and texts. Named positions are then those of the inputs in
    braces (their last token) and `end`."""
    positions: Mapping[str, int | Callable[[Setting], int]] = field(default_factory=dict)
    """Named positions of token ids: an index (negative from the end), or a function of the setting."""
    read: str | None = None
    """A site to read answers from, instead of the logits after the prompt: for networks that give one row of logits."""


PLAIN = Written()
"""Token ids or tensors without named positions, answers read after the prompt."""


def written(settings: Sequence[Setting], encode: Encode, how: Written) -> Input:
    """The settings as an input, with named positions.

    Raises:
        DataError: a template that names what is no input, or prompts of several kinds.
    """
    if isinstance(encode, str):
        return _texts([_filled(encode, setting) for setting in settings], how)
    given = [encode(setting) for setting in settings]
    if all(isinstance(each, str) for each in given):
        return _texts([(each, {}) for each in given], how)
    if all(isinstance(each, Mapping) for each in given):
        return _tensors(given)
    if all(isinstance(each, list | tuple) for each in given):
        return _ids([list(each) for each in given], settings, how)
    kinds = ", ".join(sorted({type(each).__name__ for each in given}))
    raise DataError(f"encode= gave {kinds}: expected texts, lists of token ids, or dicts of tensors, all of one kind.")


def _filled(template: str, setting: Setting) -> tuple[str, dict[str, tuple[int, int]]]:
    """A template filled in, and the characters of each input in it."""
    text, spans = "", {}
    for literal, name, _, _ in string.Formatter().parse(template):
        text += literal
        if name is None:
            continue
        if name not in setting:
            raise DataError(f"the template names {name!r}, which is no input.{nearest(name, setting)}")
        start, text = len(text), text + str(setting[name])
        spans[name] = (start, len(text))
    return text, spans


def _texts(filled: Sequence[tuple[str, Mapping[str, tuple[int, int]]]], how: Written) -> Input:
    if how.tokenizer is None:
        raise DataError("prompts are text: give Written(tokenizer=...), a tokenizer or a model that has one.")
    examples = tuple(
        Example(
            clean=text,
            corrupt=text,
            positions={name: Place(clean=span, corrupt=span) for name, span in spans.items()},
        )
        for text, spans in filled
    )
    return Pairs(examples).align(how.tokenizer).as_inputs()["clean"]


def _ids(rows: list[list[int]], settings: Sequence[Setting], how: Written) -> Input:
    positions = {name: _places(at, rows, settings) for name, at in how.positions.items()}
    return as_input(rows, positions=positions)


def _places(at: int | Callable[[Setting], int], rows: list[list[int]], settings: Sequence[Setting]) -> tuple[int, ...]:
    found = [at if isinstance(at, int) else at(setting) for setting in settings]
    return tuple(place % len(row) if place < 0 else place for place, row in zip(found, rows, strict=True))


def _tensors(given: Sequence[Mapping[str, Any]]) -> Input:
    names = list(given[0])
    rows = {name: [torch.as_tensor(each[name]) for each in given] for name in names}
    stacked: dict[str, Tensor] = {name: torch.stack(tensors) for name, tensors in rows.items()}
    return ModelInputs(tensors={name: Attachment.of(tensor) for name, tensor in stacked.items()})
