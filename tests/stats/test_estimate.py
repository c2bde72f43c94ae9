"""How numbers print."""

from __future__ import annotations

import pytest

from assay.stats import Estimate, TestResult


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.83, 0.79, 0.87, 400, "m"), "0.83 [0.79, 0.87], n = 400"),
        (Estimate(0.83, 0.829, 0.8312, 90000, "m"), "0.830 [0.829, 0.831], n = 90000"),
        (Estimate(3.512, 3.1, 3.93, 64, "m"), "3.51 [3.10, 3.93], n = 64"),
        (Estimate(1.0, 1.0, 1.0, 8, "m"), "1.00 [1.00, 1.00], n = 8"),
        (Estimate(22700.0, 21000.0, 24000.0, 8, "m"), "22700 [21000, 24000], n = 8"),
        (Estimate(0.5, 0.4, 0.6, 60, "m", level=0.99), "0.50 [0.40, 0.60] (99 %), n = 60"),
        (Estimate(0.5, 0.4, 0.6, 60, "m", clusters=6), "0.50 [0.40, 0.60], n = 60 in 6 clusters"),
        (Estimate(0.0, -1e-8, 1e-8, 60, "m"), "0.00 [0.00, 0.00], n = 60"),
        (Estimate(0.5, float("-inf"), float("inf"), 1, "m"), "0.50 (no interval), n = 1"),
        (Estimate(0.0519, 0.0519, 0.0519, 0, "exact", level=0.98), "0.052 (no interval)"),
        (Estimate(0.0011, 0.0011, 0.0011, 0, "exact"), "0.0011 (no interval)"),
        (Estimate(-14.0, -14.0, -14.0, 0, "exact"), "-14 (no interval)"),
        (Estimate(0.0, 0.0, 0.0, 0, "exact"), "0 (no interval)"),
    ],
)
def test_an_estimate_prints_in_the_style_of_the_field(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text


def test_a_test_prints_its_p() -> None:
    assert str(TestResult(0.0314, 1.5, 20, "m")) == "1.5, p = 0.031, n = 20"
    assert str(TestResult(0.00002, 1.5, 20, "m")) == "1.5, p = 2.0e-05, n = 20"
