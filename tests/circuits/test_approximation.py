"""Approximate against exact scores: known answers for each number, and what can't be compared."""

from __future__ import annotations

import numpy as np
import pytest

from assay.circuits.approximation import approximation_error, sampled
from assay.core.caveats import caveats_in
from assay.core.errors import DataError
from assay.core.protocols import Scores

EXACT = 1e-12


def scores(values: list[float], quantity: str = "q") -> Scores:
    return Scores.of({f"L0.H{i}": value for i, value in enumerate(values)}, quantity)


def test_equal_scores() -> None:
    found = approximation_error(scores([3, 1, -2, 0.5]), scores([3, 1, -2, 0.5]), at=[1, 2])
    for number in (found.r_squared, found.slope, found.spearman, found.kendall, *found.recall.values()):
        assert number.value == pytest.approx(1, abs=EXACT)
    assert found.relative_error.value == 0
    assert found.facts()[0].startswith("against exact patching of all components: R² 1.00")


def test_half_the_size_and_one_pair_exchanged() -> None:
    """approximate = exact / 2, but for two neighbours in rank: one discordant pair of six, known by hand."""
    exact, approximate = [4.0, 3.0, 2.0, 1.0], [1.5, 2.0, 1.0, 0.5]
    found = approximation_error(scores(approximate), scores(exact), at=[1, 2])
    assert found.kendall.value == pytest.approx((5 - 1) / 6)
    assert found.spearman.value == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found.slope.value == pytest.approx(np.polyfit(exact, approximate, 1)[0])
    assert found.r_squared.value == pytest.approx(np.corrcoef(exact, approximate)[0, 1] ** 2)
    assert found.recall[1].value == 0 and found.recall[2].value == 1
    error = np.subtract(approximate, exact)
    assert found.relative_error.value == pytest.approx(np.sqrt((error @ error) / np.dot(exact, exact)))


def test_intervals_hold_the_truth_and_shrink() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=400)
    approximate = 0.5 * exact + 0.2 * rng.normal(size=400)
    few, many = (approximation_error(scores(approximate[:n].tolist()), scores(exact[:n].tolist())) for n in (30, 400))
    assert few.slope.low < 0.5 < few.slope.high and many.slope.low < 0.5 < many.slope.high
    assert many.slope.half_width < few.slope.half_width / 2


def test_only_components_with_both_scores_are_compared() -> None:
    approximate, exact = scores([1, 2, 3, 4, 5]), Scores.of({"L0.H3": 8.0, "L0.H1": 4.0, "L0.H0": 2.0}, "q")
    found = approximation_error(approximate, exact)
    assert found.scatter == (("L0.H0", 1, 2), ("L0.H1", 2, 4), ("L0.H3", 4, 8))
    assert "3 of 5 components" in str(found)


def test_signs_can_be_left_out() -> None:
    found = approximation_error(scores([3, 2, 1]), scores([-3, 2, -1]), absolute=True)
    assert found.slope.value == pytest.approx(1) and "signs left out" in str(found)


def test_a_poor_approximation_and_ties_are_caveats() -> None:
    found = approximation_error(scores([0, 0, 0, 0]), scores([4, 3, 2, 1]), at=[2])
    assert found.slope.value == 0 and found.relative_error.value == 1
    assert [text.split(" ")[0] for text in caveats_in(found.facts())] == ["against", "scores"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="2 components have both scores: at least 3"):
        approximation_error(scores([1, 2]), scores([1, 2, 3]))
    with pytest.raises(DataError, match="recall at \\[9\\] of 3 components: expected k from 1 to 3"):
        approximation_error(scores([1, 2, 3]), scores([1, 2, 3]), at=[9])


def test_a_sample_is_seeded_and_in_order() -> None:
    names = [f"L0.H{i}" for i in range(20)]
    one = sampled(names, 5, seed=1)
    assert one == sampled(names, 5, seed=1) != sampled(names, 5, seed=2)
    assert list(one) == sorted(one, key=names.index) and len(set(one)) == 5
    assert sampled(names, 99, seed=0) == tuple(names)
