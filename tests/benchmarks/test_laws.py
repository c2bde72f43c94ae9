"""What power of a number a cost follows, on costs that are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from side_by_side.laws import law

NUMBERS = (8, 16, 32, 64)


@given(power=st.floats(0.2, 3.0), factor=st.floats(1e-3, 1e3))
def test_a_power_is_found(power: float, factor: float) -> None:
    # exact up to the rounding of logarithms
    assert law(NUMBERS, [factor * x**power for x in NUMBERS]).slope == pytest.approx(power, abs=1e-6)


@given(parts=st.tuples(*[st.floats(0.1, 10.0)] * 3))
def test_shares_are_those_at_the_largest_number(parts: tuple[float, float, float]) -> None:
    constant, linear, quadratic = parts
    terms = (constant * 64, linear, quadratic / 64)
    found = law(NUMBERS, [terms[0] + terms[1] * x + terms[2] * x * x for x in NUMBERS])
    whole = terms[0] + terms[1] * 64 + terms[2] * 64 * 64
    assert found.constant == pytest.approx(terms[0] / whole, abs=1e-6)
    assert found.quadratic == pytest.approx(terms[2] * 64 * 64 / whole, abs=1e-6)


@pytest.mark.parametrize(
    ("costs", "kind"), [([x + 5 for x in NUMBERS], "linear"), ([x * x for x in NUMBERS], "quadratic")]
)
def test_kinds(costs: list[float], kind: str) -> None:
    assert law(NUMBERS, costs).kind == kind


def test_two_numbers_tell_no_quadratic_part() -> None:
    assert law((1, 2), (3.0, 5.0)).quadratic == 0
