"""Bootstrap intervals: known answers, coverage, clusters, degenerate data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.core.errors import DataError
from assay.stats import Units, bootstrap, bootstrap_difference, bootstrap_statistic
from assay.stats.bootstrap import draw_counts


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_the_interval_of_a_mean_agrees_with_theory(kind: str) -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)
    found = bootstrap(values, kind=kind, seed=1)  # type: ignore[arg-type]
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)  # Monte Carlo error of 2000 resamples: about 0.01
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_coverage_of_a_skewed_mean(kind: str) -> None:
    """Exponential data, n = 40: nominal 95 %, known to fall a little short; far off means a wrong interval."""
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        found = bootstrap(rng.exponential(size=40), kind=kind, resamples=400, seed=trial)  # type: ignore[arg-type]
        inside += found.low <= 1.0 <= found.high
    assert 0.88 <= inside / 200 <= 0.98  # true coverage about 0.93; ±2.5 standard errors of 0.018


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_a_paired_difference_is_narrower_than_an_unpaired_one() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, size=100)
    a, b = shared + rng.normal(1, 0.1, 100), shared
    paired = bootstrap_difference(a, b)
    unpaired = bootstrap_statistic(lambda i, j: float(a[i].mean() - b[j].mean()), [Units(100), Units(100)])
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.half_width < 0.05 * unpaired.half_width
    assert 0.9 < paired.low < paired.high < 1.1


def test_clusters_widen_the_interval_when_examples_repeat_each_other() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=20)
    values = np.repeat(centres, 10)
    labels = [f"template {i // 10}" for i in range(200)]
    alone, together = bootstrap(values), bootstrap(values, clusters=labels)
    expected = stats.norm.ppf(0.975) * centres.std() / np.sqrt(20)
    assert together.half_width == pytest.approx(expected, rel=0.15)  # 20 clusters, Monte Carlo error
    assert alone.half_width < 0.5 * together.half_width
    assert together.clusters == 20


def test_a_maximum_over_layers_is_recomputed_in_every_resample() -> None:
    """The plausible mistake: choose the best layer once, on all examples, then resample that layer alone."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 40))
    honest = bootstrap_statistic(lambda i: float(table[:, i].mean(1).max()), [Units(40)], kind="percentile")
    best = table[table.mean(1).argmax()]
    naive = bootstrap(best, kind="percentile")
    assert honest.value == pytest.approx(naive.value, abs=1e-12)  # the same mean, summed in another order
    assert honest.low > naive.low


def test_constant_data_give_that_number() -> None:
    found = bootstrap(np.full(12, 0.5))
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.method.startswith("constant")


def test_where_bca_is_undefined_the_method_says_so() -> None:
    values = np.array([0.0] * 9 + [1.0])
    found = bootstrap(values, np.max)
    assert np.isfinite([found.low, found.high]).all()
    assert found.method.startswith(("percentile (BCa undefined)", "BCa"))


def test_one_example_says_nothing() -> None:
    found = bootstrap(np.array([0.5]))
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 3 values are NaN"):
        bootstrap(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(DataError, match="3 values against 2"):
        bootstrap_difference(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="cluster labels"):
        bootstrap(np.zeros(3), clusters=["a"])


def test_counts_are_resamples_of_whole_clusters() -> None:
    counts = draw_counts(Units(5, ("a", "a", "b", "c", "c")), resamples=500, seed=3)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3] == counts[:, 4]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()  # three clusters are drawn each time
    assert counts.mean() == pytest.approx(1, abs=0.1)  # each as often as any: 500 draws, so 0.04 either way


def test_means_over_counts_are_those_of_the_bootstrap() -> None:
    values = np.random.default_rng(0).normal(size=60)
    drawn = draw_counts(Units(60), resamples=4000) @ values / 60
    found = bootstrap(values, kind="percentile", resamples=4000)
    np.testing.assert_allclose(np.quantile(drawn, [0.025, 0.975]), [found.low, found.high], atol=0.03)  # two samplings
