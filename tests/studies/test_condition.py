"""Conditions: reading them, and what they say about a number and an interval."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from assay.stats import Estimate
from assay.studies.condition import Condition


def interval(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 10, "given")


@pytest.mark.parametrize("text", [">= 0.9", "< 10", "> -0.5", "<= 1e-05", "in [0.2, 0.4]"])
def test_conditions_print_as_they_are_written(text: str) -> None:
    assert str(Condition.parse(text)) == text
    assert Condition.model_validate_json(Condition.parse(text).model_dump_json()) == Condition.parse(text)


@pytest.mark.parametrize("text", ["large", "= 3", "0.9", ">= ", "in [0.4, 0.2]", "in 0.2"])
def test_what_holds_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("text", "low", "high", "throughout", "nowhere"),
    [
        (">= 0.9", 0.9, 0.95, True, False),
        (">= 0.9", 0.85, 0.95, False, False),
        (">= 0.9", 0.7, 0.8, False, True),
        ("< 0.9", 0.7, 0.9, False, False),
        ("in [0.2, 0.4]", 0.25, 0.35, True, False),
        ("in [0.2, 0.4]", 0.1, 0.6, False, False),
        ("in [0.2, 0.4]", 0.5, 0.6, False, True),
    ],
)
def test_intervals(text: str, low: float, high: float, throughout: bool, nowhere: bool) -> None:
    condition = Condition.parse(text)
    assert condition.holds_throughout(interval(low, high)) is throughout
    assert condition.fails_throughout(interval(low, high)) is nowhere


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (">= 0.9", "< 0.9", False),
        (">= 0.9", "<= 0.9", True),
        (">= 0.9", "< 0.5", False),
        (">= 0.9", "> 0.95", True),
        ("in [0.2, 0.4]", "> 0.4", False),
        ("in [0.2, 0.4]", "in [0.3, 0.5]", True),
        ("< 0.1", "< 0.2", True),
    ],
)
def test_overlap(one: str, other: str, overlap: bool) -> None:
    assert Condition.parse(one).overlaps(Condition.parse(other)) is overlap
    assert Condition.parse(other).overlaps(Condition.parse(one)) is overlap
