"""The t interval of a mean against scipy, with clusters against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import mean, mean_difference

VALUES = np.random.default_rng(0).normal(2, 3, size=25)
EXACT = 1e-12  # the same formula, in another order


def test_against_scipy() -> None:
    found = mean(VALUES, level=0.9)
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=EXACT), pytest.approx(expected.high, abs=EXACT))
    assert (found.n, found.level, found.method) == (25, 0.9, "t, 24 df")


def test_a_cluster_counts_once() -> None:
    """Examples that repeat each other add nothing; taking each for itself would make the interval √10 too short."""
    labels = [i // 10 for i in range(250)]
    found = mean(np.repeat(VALUES, 10), clusters=labels)
    assert (found.low, found.high) == pytest.approx((mean(VALUES).low, mean(VALUES).high), abs=EXACT)
    assert str(found).endswith("n = 250 in 25 clusters")


def test_clusters_of_other_sizes_count_alike() -> None:
    assert mean(np.array([0.0, 0, 0, 1]), clusters=["a", "a", "a", "b"]).value == 0.5


def test_differences_are_paired() -> None:
    assert mean_difference(VALUES + 1, VALUES).half_width == pytest.approx(0, abs=EXACT)


@pytest.mark.parametrize(
    ("values", "says"),
    [([1.0], "no interval"), ([1.0, np.inf], "1 of 2 values are NaN or infinite"), ([[1.0, 2.0]], "shape")],
)
def test_what_is_no_sample_is_refused(values: list[float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        mean(np.array(values))
