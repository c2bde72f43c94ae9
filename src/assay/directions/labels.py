"""Labelled prompts for probes: both prompts of each contrast pair in tokens, with what is true of each (`data.relabel`).

The pair is the unit of every mean and interval: its prompts are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from assay.core.direction import Position
from assay.core.errors import DataError, SettingsError
from assay.data.pairs import Pairs
from assay.data.relabel import What, relabelled

MOST = 12
"""More labels than these are names, not classes."""


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
    said = [(example.label, example.corrupt_label) for example in relabelled(pairs, label)]
    found = sorted({str(each) for both in said for each in both if each is not None})
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
        (tokens.clean if side == 0 else tokens.corrupt, places[i], classes.index(str(each)), i)
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
