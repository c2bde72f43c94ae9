"""Linear fits: known answers, and that each finds a planted line."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from assay.directions.fitting import Kind, fit

KINDS = get_args(Kind)


def clouds(*, labels: int = 2, n: int = 60, d: int = 8, gap: float = 6.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds around the corners of a simplex in the first coordinates, all of them moved away from 0."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % labels
    means = gap * np.eye(labels, d)
    return rng.normal(size=(n, d)) + means[y] + 10, y, means


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_line_is_found(kind: Kind) -> None:
    values, y, means = clouds()
    found = fit(kind, values, y, labels=2)
    line = means[1] - means[0]
    cosine = found.vectors[0] @ line / np.linalg.norm(found.vectors[0]) / np.linalg.norm(line)
    assert cosine > 0.9  # 60 points in 8 dimensions, six standard deviations apart
    assert (found.guess(values) == y).all()


@pytest.mark.parametrize("kind", KINDS)
def test_several_labels_each_have_a_line(kind: Kind) -> None:
    values, y, _ = clouds(labels=3)
    found = fit(kind, values, y, labels=3)
    assert found.vectors.shape == (3, 8) and (found.guess(values) == y).mean() > 0.97


def test_the_difference_of_means_reads_one_at_each_mean() -> None:
    values, y, _ = clouds()
    means = np.stack([values[y == each].mean(0) for each in (0, 1)])
    found = fit("mean_difference", values, y, labels=2)
    np.testing.assert_allclose(found.vectors[0], means[1] - means[0], rtol=1e-9)
    np.testing.assert_allclose(found.read(means)[0], [-1, 1], rtol=1e-9)


def test_lda_undoes_a_stretch_that_the_means_do_not() -> None:
    """A wide axis without information: the difference of means follows its noise, the discriminant does not."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    values = rng.normal(size=(400, 2)) * [40, 1] + np.stack([np.zeros(400), 6 * y], axis=1)
    share = {}
    for kind in KINDS:
        vector = fit(kind, values, y, labels=2).vectors[0]
        share[kind] = abs(vector[1]) / np.linalg.norm(vector)
    assert share["lda"] > 0.99 > share["mean_difference"]


def test_logistic_readings_are_log_odds() -> None:
    """At the fitted optimum the probabilities of the second label sum to its count (the intercept has no penalty)."""
    values, y, _ = clouds(gap=1.0)
    odds = fit("logistic", values, y, labels=2).read(values)[0]
    assert (1 / (1 + np.exp(-odds))).sum() == pytest.approx(y.sum(), abs=1e-2)  # L-BFGS stops at a slope of 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_or_rotation_of_the_site_changes_no_reading(kind: Kind) -> None:
    values, y, _ = clouds(gap=1.0)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    before, after = (
        fit(kind, values, y, labels=2).read(values),
        fit(kind, values @ turn + 3, y, labels=2).read(values @ turn + 3),
    )
    np.testing.assert_allclose(before, after, atol=2e-3)  # the optimiser's own tolerance


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [2, 3])
def test_where_all_examples_are_the_same_nothing_is_told_apart(kind: Kind, labels: int) -> None:
    values, y = np.ones((6, 4)), np.arange(6) % labels
    found = fit(kind, values, y, labels=labels)
    assert not found.vectors.any() and len(set(found.guess(values))) == 1
