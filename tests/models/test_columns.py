"""Finding the columns of one tensor in another by their values."""

from __future__ import annotations

import torch

from assay.models.columns import any_columns, as_step, column_index, proportional_index, run_of_columns
from assay.models.views import Columns, Slice


def table(tokens: int = 24, columns: int = 12) -> torch.Tensor:
    return torch.randn(tokens, columns, generator=torch.Generator().manual_seed(0))


def test_parts_side_by_side() -> None:
    source = table()
    for start in (0, 4, 8):
        assert run_of_columns(source[:, start : start + 4], source) == tuple(range(start, start + 4))
        assert column_index(source[:, start : start + 4], source) == tuple(range(start, start + 4))
    assert run_of_columns(source[:, 3:7], source) is None, "only where parts of equal width stand"
    assert column_index(source[:, 3:7], source) == (3, 4, 5, 6)


def test_any_order() -> None:
    source, order = table(), [5, 0, 11, 7]
    assert column_index(source[:, order], source) == tuple(order)


def test_a_column_that_is_not_there_or_not_alone_is_no_match() -> None:
    source = table()
    assert column_index(source[:, :4] + 1e-6, source) is None
    assert column_index(source[:, [1, 1]], source) is None, "one column cannot be two"
    assert column_index(source, source[:, :4]) is None
    assert column_index(source[:5, :4], source) is None, "other tokens"


def test_zero_and_minus_zero_are_the_same() -> None:
    source = table()
    source[0, 3] = 0.0
    target = source[:, [3, 2]].clone()
    target[0, 0] = -0.0
    assert column_index(target, source) == (3, 2)


def test_one_factor_for_all_columns() -> None:
    source, order = table(), [4, 2, 9]
    assert proportional_index(source[:, order] * 0.125, source) == tuple(order)
    assert any_columns(source[:, order] * -3.0, source) == tuple(order)
    uneven = source[:, order] * torch.tensor([1.0, 2.0, 1.0])
    assert proportional_index(uneven, source) is None, "a norm's weight is no constant"
    assert proportional_index(torch.randn(24, 3), source) is None


def test_the_step_is_as_plain_as_it_can_be() -> None:
    assert as_step((0, 1, 2), 3) is None
    assert as_step((1, 2), 3) == Slice(1, 3)
    assert as_step((2, 1), 3) == Columns((2, 1))
    assert as_step((2, 1, 0), 3) == Columns((2, 1, 0)), "all columns, in another order"
