"""Variance components against a published analysis, and the coverage that treating cells as independent would lose."""

from __future__ import annotations

import numpy as np
import pytest

from assay.core.errors import DataError
from assay.stats import mean, seed_effect

DYESTUFF = np.array(
    [
        [1545, 1440, 1440, 1520, 1580],
        [1540, 1555, 1490, 1560, 1495],
        [1595, 1550, 1605, 1510, 1560],
        [1445, 1440, 1595, 1465, 1545],
        [1595, 1630, 1515, 1635, 1625],
        [1520, 1455, 1450, 1480, 1445],
    ],
    dtype=float,
)
"""Davies & Goldsmith 1972, table 6.3: yields of six batches, five samples of each."""


def test_batches_of_dyestuff() -> None:
    """lme4 prints for REML: mean 1527.5, standard deviations 42.00 (batch) and 49.51 (within)."""
    found = seed_effect(DYESTUFF, examples="own")
    assert found.mean.value == 1527.5
    assert (found.sd_seed, found.sd_rest) == pytest.approx((42.00, 49.51), abs=5e-3)
    assert found.sd_example is None
    by_batch = mean(DYESTUFF.mean(1))
    assert (found.mean.low, found.mean.high) == pytest.approx((by_batch.low, by_batch.high), abs=1e-9)


def table(rng: np.random.Generator, sds: tuple[float, float, float], shape: tuple[int, int] = (5, 40)) -> np.ndarray:
    seed, example, rest = sds
    s, e = shape
    return rng.normal(0, seed, (s, 1)) + rng.normal(0, example, (1, e)) + rng.normal(0, rest, (s, e))


def test_crossed_components_are_found() -> None:
    rng = np.random.default_rng(0)
    found = [seed_effect(table(rng, (0.5, 2.0, 1.0), (12, 60))) for _ in range(60)]
    means = [np.mean([getattr(each, name) ** 2 for each in found]) for name in ("sd_seed", "sd_example", "sd_rest")]
    assert means == pytest.approx([0.25, 4.0, 1.0], rel=0.12)  # the seeds' has 11 df: 6 % standard error over 60 tables
    assert np.mean([each.share for each in found]) == pytest.approx(0.25 / 5.25, rel=0.2)


@pytest.mark.parametrize("sds", [(0.5, 1.0, 1.0), (1.0, 0.0, 0.5), (0.0, 1.0, 1.0), (0.3, 2.0, 1.0)])
def test_coverage_with_five_seeds(sds: tuple[float, float, float]) -> None:
    """Nominal 95 % over 300 tables; pooling all cells, as is often done, covers far less where seeds matter."""
    rng = np.random.default_rng(1)
    inside = pooled = 0
    for _ in range(300):
        values = table(rng, sds)
        found = seed_effect(values).mean
        inside += found.low <= 0 <= found.high
        naive = mean(values.ravel())
        pooled += naive.low <= 0 <= naive.high
    assert 0.92 <= inside / 300 <= 0.995
    if sds[0] >= 0.5:
        assert pooled / 300 < 0.6


def test_one_number_for_each_seed() -> None:
    numbers = np.array([0.7, 0.8, 0.75, 0.9])
    found = seed_effect(numbers[:, None])
    assert (found.mean.low, found.mean.high) == pytest.approx((mean(numbers).low, mean(numbers).high))
    assert found.share == 1 and "4 seeds" in str(found)


def test_equal_cells() -> None:
    found = seed_effect(np.ones((3, 4)))
    assert (found.mean.low, found.mean.high, found.share) == (1, 1, 0)


def test_one_seed_has_no_spread() -> None:
    with pytest.raises(DataError, match="at least two seeds"):
        seed_effect(np.ones((1, 5)))
