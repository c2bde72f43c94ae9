"""Labelled prompts for probes: what of a contrast pair is read, and what is true of it.

    label        each prompt's own label, as families for probing give one (`truth-cities`, `sentiment-statements`)
    answer       the usual right answer, where prompts share a few: the number of a verb, the gender of a pronoun
    side         clean or counterfactual: whatever tells the two apart, which may be no property that has a name
    auto         label if all prompts have one, else answer

Both prompts of a pair are read, and the pair is the unit of every mean and interval: its prompts are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

from assay.core.direction import Position
from assay.core.errors import DataError, SettingsError
from assay.data.example import Example
from assay.data.pairs import Pairs

What = Literal["auto", "label", "answer", "side"]
MOST = 12
"""More labels than these are names, not classes."""
Said = tuple[str | None, str | None]
"""The labels of a clean and a counterfactual prompt."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts in tokens with a label each. `unit[i]`: the pair that prompt i belongs to."""

    tokens: tuple[tuple[int, ...], ...]
    at: tuple[int, ...]
    """The token that is read, in each prompt."""
    labels: tuple[str, ...]
    """The classes, in a fixed order."""
    y: Int[np.ndarray, " prompt"]
    unit: Int[np.ndarray, " prompt"]
    pairs: Pairs

    @property
    def n(self) -> int:
        """How many pairs."""
        return len(self.pairs)

    def of_units(self, values: np.ndarray) -> np.ndarray:
        """The mean over the prompts of each pair, along the last axis."""
        counts = np.bincount(self.unit, minlength=self.n)
        flat = values.reshape(-1, values.shape[-1])
        sums = np.stack([np.bincount(self.unit, row, minlength=self.n) for row in flat.astype(float)])
        return (sums / counts).reshape(*values.shape[:-1], self.n)


def labelled_prompts(
    pairs: Pairs, *, label: What = "auto", pos: Position = "end", known: Sequence[str] = ()
) -> Prompts:
    """Both prompts of each pair with their labels; `known`: the labels of a probe that is to read them.

    Raises:
        DataError: prompts without a label of that kind, more labels than classes, or one that the probe does not know.
    """
    said = _said(pairs, label)
    found = sorted({each for both in said for each in both if each is not None})
    if unknown := [each for each in found if known and each not in known]:
        raise DataError(f"These prompts have the label {unknown[0]!r}; the directions tell apart {', '.join(known)}.")
    if not known and not 2 <= len(found) <= MOST:
        what = "one label" if len(found) == 1 else f"{len(found)} labels"
        raise DataError(
            f"Prompts of task {pairs.task!r} have {what}: a probe tells 2 to {MOST} apart. "
            "Use a task with labels (see docs/tasks.md), or label='side' to tell clean from counterfactual prompts."
        )
    classes = tuple(known) or tuple(found)
    places = positions(pairs, pos)
    rows = [
        (tokens.clean if side == 0 else tokens.corrupt, places[i], classes.index(each), i)
        for i, (tokens, both) in enumerate(zip(pairs.aligned_tokens(), said, strict=True))
        for side, each in enumerate(both)
        if each is not None
    ]
    tokens, at, y, unit = zip(*rows, strict=True)
    return Prompts(tokens, at, classes, np.array(y), np.array(unit), pairs)


def positions(pairs: Pairs, pos: Position) -> list[int]:
    """The token that a position means in each pair: an index, `end`, or a position that all examples name.

    Raises:
        SettingsError: a prompt is too short for it.
    """
    if isinstance(pos, str) and (pos != "end" or pos in pairs.position_names()):
        return pairs.position(pos)
    index = -1 if isinstance(pos, str) else pos
    lengths = pairs.lengths
    if not all(-length <= index < length for length in lengths):
        raise SettingsError(f"The shortest prompt has {min(lengths)} tokens: there is no position {index}.")
    return [index % length for length in lengths]


def kind_of(pairs: Pairs, label: What) -> What:
    """What `auto` means for these pairs.

    Raises:
        SettingsError: no such kind.
    """
    if label not in get_args(What):
        raise SettingsError(f"{label!r} is no kind of label: expected {', '.join(get_args(What))}.")
    if label != "auto":
        return label
    return "label" if all(example.label is not None for example in pairs) else "answer"


def _said(pairs: Pairs, label: What) -> list[Said]:
    kind = kind_of(pairs, label)
    found = [_of(example, kind) for example in pairs]
    if missing := [i for i, both in enumerate(found) if both[0] is None]:
        raise DataError(
            f"Example {missing[0]} of task {pairs.task!r} has no {kind} ({len(missing)} such): give it one, "
            "or choose another kind of label."
        )
    return found


def _of(example: Example, kind: What) -> Said:
    match kind:
        case "label":
            both = example.label, example.corrupt_label
            return _text(both[0]), _text(both[1])
        case "answer":
            first = example.answers[0] if example.answers else None
            other = example.corrupt_answers[0] if example.corrupt_answers else None
            return _text(first), _text(other)
        case _:
            return "clean", "counterfactual"


def _text(value: bool | str | int | None) -> str | None:
    return None if value is None else str(value).strip()
