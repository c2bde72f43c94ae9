"""A tool's numbers agree with the naive engine's, or it is out."""

from __future__ import annotations

import pytest
from side_by_side.agree import Differs, agreed


def test_difference_is_of_the_largest_number() -> None:
    assert agreed({"a": [10.0, 0.001]}, {"a": [10.0, 0.002]}) == pytest.approx(1e-4)


@pytest.mark.parametrize("found", [[10.0, 0.01], [10.0, float("nan")]])
def test_other_numbers_are_refused(found: list[float]) -> None:
    with pytest.raises(Differs, match="naive engine"):
        agreed({"a": found}, {"a": [10.0, 0.0]})


def test_another_count_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        agreed({"a": [1.0]}, {"a": [1.0, 2.0]})


def test_texts_are_compared_up_to_their_end() -> None:
    assert agreed({"tokens": [[5, 2, 9]]}, {"tokens": [[5, -1, -1]]}) == 0


def test_one_text_in_ten_may_differ_and_no_more() -> None:
    wanted = [[i, i] for i in range(3, 23)]
    off = lambda count: [[0, 0]] * count + wanted[count:]
    assert agreed({"tokens": off(2)}, {"tokens": wanted}) == pytest.approx(0.1)
    with pytest.raises(Differs):
        agreed({"tokens": off(3)}, {"tokens": wanted})
