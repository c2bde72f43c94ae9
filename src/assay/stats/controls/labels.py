"""Control of what labels say: the same prompts with each other's answers and labels.

What a method finds with shuffled labels, it finds whatever they mean: chance, a large probe, the texts themselves. Labels are
exchanged within each split, so that their counts stay. One example in n keeps its own by chance.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from assay.core.calls import Call
from assay.core.errors import SettingsError
from assay.data.alignment import Tokens
from assay.data.pairs import Pairs
from assay.data.relabel import relabelled, told_apart
from assay.stats.controls.control import Asking, Measure, control
from assay.stats.controls.learned import learned_again, learned_in

SAID = ("answers", "wrong", "corrupt_answers", "corrupt_wrong", "label", "corrupt_label")


@control("shuffled_labels", "each prompt with another's answers and labels", reruns=True)
def shuffled_labels_again(asking: Asking, seed: int) -> Measure:
    """The method on shuffled labels; where it was handed a direction that was learned, that learned from shuffled labels."""
    call = asking.needed_call()
    if learned_in(call):
        return asking.again(**learned_again(call, lambda each: _shuffled_call(each, seed)))
    return asking.again(**_shuffled_call(call, seed))


def _shuffled_call(call: Call, seed: int) -> dict[str, Any]:
    what = told_apart(call.given.get("label"))
    if isinstance(call.data, Pairs) and what is not None:
        return {"data": shuffled_labels(relabelled(call.data, what), seed=seed), "label": "label"}
    return {"data": shuffled_labels(call.data, seed=seed)}


def shuffled_labels(data: Any, *, seed: int) -> Any:
    """The data with labels in a random order: of Pairs answers and labels, else the field `labels` of a dataclass.

    Raises:
        SettingsError: there is nothing to shuffle.
    """
    if isinstance(data, Pairs):
        return _pairs(data, seed)
    names = {field.name for field in fields(data)} if is_dataclass(data) and not isinstance(data, type) else set()
    if "labels" not in names:
        raise SettingsError(f"data of type {type(data).__name__} have no labels to shuffle")
    labels = list(data.labels)
    order = random.Random(seed).sample(range(len(labels)), len(labels))
    return replace(data, labels=type(data.labels)(labels[i] for i in order))


def _pairs(pairs: Pairs, seed: int) -> Pairs:
    said = {tuple(getattr(example, name) for name in SAID) for example in pairs.examples}
    if len(said) < 2:
        raise SettingsError("all examples have the same answers and labels: shuffling them changes nothing")
    order = _within([example.split for example in pairs.examples], seed)
    examples = tuple(
        example.model_copy(update={name: getattr(pairs.examples[other], name) for name in SAID})
        for example, other in zip(pairs.examples, order, strict=True)
    )
    tokens = None if pairs.tokens is None else tuple(map(_answered_by, pairs.tokens, [pairs.tokens[i] for i in order]))
    return replace(pairs, examples=examples, tokens=tokens, facts=(*pairs.facts, f"labels shuffled, seed {seed}"))


def _answered_by(own: Tokens, other: Tokens) -> Tokens:
    return Tokens(
        own.clean, own.corrupt, own.positions, other.answers, other.wrong, other.corrupt_answers, other.corrupt_wrong
    )


def _within(groups: Sequence[str], seed: int) -> list[int]:
    """For each example, the one of its group whose labels it gets."""
    rng, order = random.Random(seed), list(range(len(groups)))
    for group in dict.fromkeys(groups):
        members = [i for i, each in enumerate(groups) if each == group]
        for place, other in zip(members, rng.sample(members, len(members)), strict=True):
            order[place] = other
    return order
