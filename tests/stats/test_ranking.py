"""AUROC and average precision against their definitions, by counting; ties, and input that has no ranking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.stats.ranking import auroc, average_precision, found, over_seeds

EXACT = 1e-12  # counts of a few items, divided
ITEMS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25).filter(
    lambda items: len({positive for _, positive in items}) == 2
)


def parts(items: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(v) for v, _ in items]), np.array([p for _, p in items])


@given(ITEMS)
def test_auroc_is_the_share_of_pairs_in_the_right_order(items: list[tuple[int, bool]]) -> None:
    values, positive = parts(items)
    pairs = [(a > b) + (a == b) / 2 for a in values[positive] for b in values[~positive]]
    assert auroc(values, positive) == pytest.approx(sum(pairs) / len(pairs), abs=EXACT)
    assert auroc(-values, positive) == pytest.approx(1 - auroc(values, positive), abs=EXACT)


@given(ITEMS)
def test_average_precision_is_precision_by_recall_gained_at_each_threshold(items: list[tuple[int, bool]]) -> None:
    values, positive = parts(items)
    area, recall = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        chosen = values >= threshold
        now = positive[chosen].sum() / positive.sum()
        area += (now - recall) * positive[chosen].mean()
        recall = now
    assert average_precision(values, positive) == pytest.approx(area, abs=EXACT)


@given(ITEMS, st.randoms())
def test_the_order_of_items_does_not_matter(items: list[tuple[int, bool]], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for measure in (auroc, average_precision):
        assert measure(*parts(shuffled)) == pytest.approx(measure(*parts(items)), abs=EXACT)


def test_scores_that_know_nothing() -> None:
    positive = np.arange(20) < 5
    assert auroc(np.ones(20), positive) == 0.5
    assert average_precision(np.ones(20), positive) == 0.25


def test_a_ranking_that_begins_outside_the_set() -> None:
    """An area without the corner (0, 0), or with ties in a lucky order, would be larger."""
    assert auroc(np.array([4.0, 3, 2, 1]), np.array([False, True, True, False])) == 0.5
    assert auroc(np.array([2.0, 2, 1, 1]), np.array([True, False, True, False])) == 0.5


def test_infinite_scores_have_a_rank() -> None:
    values = np.array([np.inf, 1.0, -np.inf, -np.inf])
    assert auroc(values, np.array([True, False, False, True])) == pytest.approx(0.625)
    assert average_precision(values, np.array([True, False, False, True])) == pytest.approx(0.5 + 0.25)


def test_a_part_that_works_against_the_behaviour_is_found_by_size() -> None:
    scores = Scores.of({"L0.H0": 2.0, "L0.H1": -1.0, "L0.H2": 0.1, "L0.H3": 0.0}, "effect")
    truth = {"L0.H0", "L0.H1"}
    assert found(scores, truth).auroc == 1
    assert found(scores, truth, absolute=False).auroc == 0.5
    assert str(found(scores, truth)) == "AUROC 1.00, average precision 1.00 (2 of 4)"


@pytest.mark.parametrize(
    ("values", "truth", "message"),
    [
        ({"L0.H0": 1.0, "L0.H1": 0.0}, {"L0.H2"}, "1 of 1 components of the truth have no score: 'L0.H2'"),
        ({"L0.H0": 1.0, "L0.H1": 0.0}, set(), "nothing of 2 items is to be found"),
        ({"L0.H0": 1.0, "L0.H1": 0.0}, {"L0.H0", "L0.H1"}, "everything of 2 items"),
        ({"L0.H0": float("nan"), "L0.H1": 0.0}, {"L0.H0"}, "1 of 2 scores are NaN"),
    ],
)  # fmt: skip
def test_what_has_no_ranking_is_refused(values: dict[str, float], truth: set[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        found(Scores.of(values, "effect"), truth)


def test_over_seeds() -> None:
    assert over_seeds([1.0, 1.0, 1.0]).half_width == 0
    spread = over_seeds([0.5, 0.7, 0.9])
    assert spread.value == pytest.approx(0.7) and 0.5 <= spread.low < spread.high <= 0.9
