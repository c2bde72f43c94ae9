"""Examples in groups of equal length, so that nothing is padded, and results put back in the examples' order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from assay.core.errors import InputError
from assay.experiments.experiment import Experiment
from assay.experiments.sourced_edits import Resample
from assay.models.prompts import Prompts


def groups(prompts: Mapping[str, Prompts], names: Sequence[str], *, at_most: int | None = None) -> list[list[int]]:
    """Groups of example numbers whose prompts have equal lengths in every input of `names`, each at most so large.

    An input with one example stands for all of them. Raises InputError when the numbers of examples disagree.
    """
    counts = {name: len(prompts[name]) for name in names}
    several = {n for n in counts.values() if n > 1}
    if len(several) > 1:
        shown = ", ".join(f"{name}: {n}" for name, n in counts.items())
        raise InputError(f"inputs that are run together need the same number of examples, or one: {shown}.")
    total = max(counts.values())
    found: dict[tuple[int, ...], list[int]] = {}
    for row in range(total):
        key = tuple(prompts[name].lengths[own_row(prompts[name], row)] for name in names)
        found.setdefault(key, []).append(row)
    if at_most is None:
        return list(found.values())
    return [rows[i : i + at_most] for rows in found.values() for i in range(0, len(rows), at_most)]


def batch_size(experiment: Experiment, asked: int | None) -> int | None:
    """The most examples in one pass. None, a whole group, where an edit draws other examples: they must be in the pass."""
    edits = (edit for run in experiment.runs.values() for edit in run.edits)
    return None if any(isinstance(edit, Resample) for edit in edits) else asked


def own_row(prompts: Prompts, row: int) -> int:
    """An example's number in an input that may have only one example for all."""
    return row if len(prompts) > 1 else 0


def own_rows(prompts: Prompts, rows: Sequence[int]) -> list[int]:
    """As `own_row`, for several."""
    return [own_row(prompts, row) for row in rows]


def in_order(rows: Sequence[int]) -> bool:
    """Whether these are the examples 0, 1, 2, …"""
    return all(place == row for place, row in enumerate(rows))


def merge(parts: Sequence[tuple[Sequence[int], Tensor]], *, ragged: Sequence[int] = ()) -> Tensor:
    """Tensors of groups as one, in the order of the examples. Along `ragged` axes shorter ones are filled with NaN."""
    if len(parts) == 1 and in_order(parts[0][0]):
        return parts[0][1]
    total = sum(len(rows) for rows, _ in parts)
    first = parts[0][1]
    shape = [total, *first.shape[1:]]
    for axis in ragged:
        shape[axis] = max(part.shape[axis] for _, part in parts)
    filler = float("nan") if first.is_floating_point() else -1
    whole = torch.full(shape, filler, dtype=first.dtype, device=first.device)
    for rows, part in parts:
        for row, values in zip(rows, part, strict=True):
            whole[row][tuple(slice(0, n) for n in values.shape)] = values
    return whole
