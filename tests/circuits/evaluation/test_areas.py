"""Areas, sizes and ratios: worked out by hand, and against MIB's own formula written out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.circuits.evaluation.areas import (
    FRACTIONS,
    area,
    cmd,
    cpr,
    mean_of_ratios,
    per_example_ratios,
    ratio_of_means,
    size_at,
)
from assay.core.errors import DataError

curves = st.lists(st.floats(-5, 5), min_size=10, max_size=10).map(np.array)


def test_a_circuit_that_is_nothing_until_it_is_everything() -> None:
    """MIB's row for random circuits: CPR .25, CMD .75."""
    recovered = np.array([0.0] * 9 + [1.0])
    assert float(cpr(recovered, FRACTIONS)) == pytest.approx(0.25, abs=0.01)
    assert float(cmd(recovered, FRACTIONS)) == pytest.approx(0.75, abs=0.01)


@given(curves)
def test_areas_are_mibs(recovered: np.ndarray) -> None:
    """The trapezoid of `evaluate_area_under_curve` in hannamw/MIB-circuit-track, written out again."""
    under = from_1 = 0.0
    for (x1, x2), (y1, y2) in zip(pairwise(FRACTIONS), pairwise(recovered), strict=True):
        under += (x2 - x1) * (y1 + y2) / 2
        from_1 += (x2 - x1) * (abs(1 - y1) + abs(1 - y2)) / 2
    assert float(cpr(recovered, FRACTIONS)) == pytest.approx(under, abs=1e-12)
    assert float(cmd(recovered, FRACTIONS)) == pytest.approx(from_1, abs=1e-12)


def test_by_hand() -> None:
    """f = 0, 2, 1 at .01, .1, 1: CPR .09 · 1 + .9 · 1.5; CMD .09 · 1 + .9 · .5; on the log axis each step counts a half."""
    recovered, fractions = np.array([0.0, 2.0, 1.0]), (0.01, 0.1, 1.0)
    assert float(cpr(recovered, fractions)) == pytest.approx(0.09 * 1 + 0.9 * 1.5)
    assert float(cmd(recovered, fractions)) == pytest.approx(0.09 * 1 + 0.9 * 0.5)
    assert float(cpr(recovered, fractions, axis="log")) == pytest.approx((1 + 1.5) / 2)
    assert float(cmd(recovered, fractions, axis="log")) == pytest.approx((1 + 0.5) / 2)


def test_the_whole_model_at_every_size_is_the_best() -> None:
    ones = np.ones(10)
    assert float(cpr(ones, FRACTIONS)) == pytest.approx(0.999)  # MIB's axis begins at .001
    assert float(cpr(ones, FRACTIONS, axis="log")) == pytest.approx(1)
    assert float(cmd(ones, FRACTIONS)) == float(cmd(ones, FRACTIONS, axis="log")) == 0


@pytest.mark.parametrize("fractions", [(0.1, 0.1, 1.0), (0.0, 0.1, 1.0), (0.1, 0.5, 1.5), (0.5, 1.0)])
def test_fractions_that_make_no_axis_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match=r"[Ff]ractions"):
        area(np.ones(3), fractions)


WHOLE, EMPTY = np.array([4.0, 2.0, 1.0]), np.array([0.0, 1.0, 1.0])


def test_ratio_of_means_and_mean_of_ratios_differ() -> None:
    """Means 7/3 and 2/3; kept 5/3 is (5 − 2) / (7 − 2). Ratios one by one .5, 1, and the last example has no gap."""
    kept = np.array([[2.0, 2.0, 1.0]])
    np.testing.assert_allclose(ratio_of_means(kept, WHOLE, EMPTY), [3 / 5])
    np.testing.assert_allclose(mean_of_ratios(kept, WHOLE, EMPTY), [0.75])
    np.testing.assert_allclose(per_example_ratios(kept, WHOLE, EMPTY), [[0.5, 1.0, np.nan]])


@pytest.mark.parametrize("same", [0.0, 3.5, math.nan])
def test_no_gap_is_said_in_one_line(same: float) -> None:
    with pytest.raises(DataError, match="there is no gap to recover") as raised:
        ratio_of_means(np.ones((2, 3)), np.full(3, same), np.full(3, same))
    assert "\n" not in str(raised.value)
    assert np.isnan(mean_of_ratios(np.ones((2, 3)), np.full(3, same), np.full(3, same))).all()


@pytest.mark.parametrize(
    ("recovered", "size"),
    [([0.1, 0.8, 0.9, 1.0], 2), ([0.9, 0.7, 0.9, 1.0], 4), ([0.9, 0.9, 0.9, 0.9], 1), ([0.9, 0.9, math.nan, 1.0], 8)],
    ids=["reached", "a spike does not count", "at once", "what is not known is not reached"],
)
def test_the_size_at_which_enough_is_recovered(recovered: list[float], size: int) -> None:
    assert size_at(np.array(recovered), [1, 2, 4, 8], recovery=0.8) == size


def test_a_size_that_is_never_reached_is_nan() -> None:
    assert math.isnan(size_at(np.array([0.9, 1.0, 0.7]), [1, 2, 4], recovery=0.8))
