"""Where the columns of one tensor stand in another: how fused and permuted projections are read.

Both tensors hold the same tokens; a column is one number per token. A target column is looked up among the source's
columns by its values, exactly, so any layout (q|k|v side by side, interleaved by head, grouped, rotary pairs permuted)
comes out as an index, without knowing the architecture. Cost: one sort of the source's columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.models.views import Columns, Slice, Step


def run_of_columns(target: Tensor, source: Tensor) -> tuple[int, ...] | None:
    """The columns of `source` when `target` stands in it in one piece, first, last or among equals: cheap to see."""
    n, m = target.shape[1], source.shape[1]
    if target.shape[0] != source.shape[0] or n > m:
        return None
    for start in {0, n, 2 * n, m - n, m - 2 * n} & set(range(m - n + 1)):
        if torch.equal(source[:, start : start + n], target):
            return tuple(range(start, start + n))
    return None


def any_columns(target: Tensor, source: Tensor) -> tuple[int, ...] | None:
    """As `column_index`, or, where all of `target` is one constant times columns of `source`, their index."""
    index = column_index(target, source)
    return index if index is not None else proportional_index(target, source)


def column_index(target: Tensor, source: Tensor) -> tuple[int, ...] | None:
    """For each column of `target` [token, n] the equal column of `source` [token, m]; None unless all are found
    once."""
    if (bare := run_of_columns(target, source)) is not None:
        return bare
    if target.shape[0] != source.shape[0] or target.shape[1] > source.shape[1]:
        return None
    where = {column: i for i, column in enumerate(_rows(source))}
    index = [where.get(column, -1) for column in _rows(target)]
    if min(index) < 0 or len(set(index)) < len(index):
        return None
    return tuple(index)


def proportional_index(target: Tensor, source: Tensor) -> tuple[int, ...] | None:
    """As `column_index`, when all of `target` is one constant times columns of `source`."""
    if target.shape[0] != source.shape[0] or target.shape[1] > source.shape[1] or target.shape[0] < 3:
        return None
    unit_t, unit_s = (t.double() / t.double().norm(dim=0).clamp_min(1e-30) for t in (target, source))
    likeness, index = (unit_t.T @ unit_s).abs().max(dim=1)
    if float(likeness.min()) < 1 - 1e-9 or len(set(index.tolist())) < len(index):
        return None
    chosen = source.double()[:, index]
    factor = float(((target.double() * chosen).sum(0) / chosen.square().sum(0)).median())
    if not torch.allclose(target.double(), chosen * factor, rtol=1e-5, atol=1e-9):
        return None
    return tuple(index.tolist())


def as_step(index: tuple[int, ...], width: int) -> Step | None:
    """The view step that takes these columns: nothing when it is all of them in order, a slice where it can be."""
    start = index[0]
    if index == tuple(range(start, start + len(index))):
        return None if len(index) == width else Slice(start, start + len(index))
    return Columns(index)


def _rows(tensor: Tensor) -> list[bytes]:
    """Each column's values; adding zero makes −0 and 0 the same."""
    columns = tensor.T.double().add(0.0).contiguous().cpu().numpy()
    return [column.tobytes() for column in columns]
