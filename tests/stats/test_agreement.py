"""Kappa and alpha against published worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from assay.core.errors import DataError
from assay.stats import cohen_kappa, krippendorff_alpha

N = np.nan
RATINGS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
"""Krippendorff 2011, section C: four observers, twelve units, gaps."""
PRINTED = 5e-4  # three decimals are printed


@pytest.mark.parametrize(
    ("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_as_krippendorff_prints_it(scale: str, alpha: float) -> None:
    found = krippendorff_alpha(RATINGS, scale=scale, resamples=100)  # type: ignore[arg-type]
    assert found.value == pytest.approx(alpha, abs=PRINTED)
    assert found.n == 11  # one unit has one rating only
    assert found.low < found.value < found.high


def test_alpha_of_two_raters_without_gaps() -> None:
    """Krippendorff 2011, section A: ten units, two observers, binary: alpha = .095."""
    ratings = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)
    assert krippendorff_alpha(ratings, resamples=100).value == pytest.approx(0.095, abs=PRINTED)


def test_kappa_of_the_usual_example() -> None:
    """50 proposals, 20 accepted and 15 refused by both, 5 and 10 by one: κ = (.7 − .5) / (1 − .5)."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4, abs=1e-12)
    assert found.half_width == pytest.approx(1.96 * np.sqrt(0.7 * 0.3 / (50 * 0.25)), rel=0.15)  # Cohen's rough error
    assert found.method.startswith("Cohen's kappa, percentile bootstrap")


def test_weights_forgive_near_labels() -> None:
    first, near, far = [1, 2, 3, 4] * 5, [2, 3, 4, 4] * 5, [4, 4, 1, 1] * 5
    for weights in ("linear", "quadratic"):
        kappas = [cohen_kappa(first, other, weights=weights, resamples=50).value for other in (near, far)]  # type: ignore[arg-type]
        assert kappas[0] > 0.3 > -0.3 > kappas[1]
    assert cohen_kappa(first, near, resamples=50).value < 0.1


def test_quadratic_kappa_is_one_minus_a_ratio_of_squares() -> None:
    first, second = np.array([1, 2, 3, 3, 1, 2, 2]), np.array([1, 3, 3, 2, 1, 1, 2])
    expected = np.mean((first[:, None] - second[None, :]) ** 2)
    kappa = cohen_kappa(first.tolist(), second.tolist(), weights="quadratic", resamples=50).value
    assert kappa == pytest.approx(1 - np.mean((first - second) ** 2) / expected, abs=1e-12)


def test_random_raters_agree_by_chance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(3, size=(2, 400))
    assert cohen_kappa(a.tolist(), b.tolist()).low < 0 < cohen_kappa(a.tolist(), b.tolist()).high
    assert abs(krippendorff_alpha(np.stack([a, b]).astype(float), resamples=50).value) < 0.1


def test_undefined_is_not_one() -> None:
    with pytest.raises(DataError, match="every rating is the same"):
        cohen_kappa(["a"] * 5, ["a"] * 5)
    with pytest.raises(DataError, match="every rating is the same"):
        krippendorff_alpha(np.ones((2, 5)))
    with pytest.raises(DataError, match="No unit has two ratings"):
        krippendorff_alpha(np.array([[1.0, N], [N, 2.0]]))
    with pytest.raises(DataError, match="3 ratings against 2"):
        cohen_kappa("abc", "ab")
