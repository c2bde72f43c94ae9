"""Measures of readings: the mean over pairs is the textbook number, and its interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.directions.planted import labelled_pairs

from assay.core.errors import DataError
from assay.directions.labels import Prompts, labelled_prompts
from assay.directions.measuring import auroc, brier, calibration_error, right, share_among
from assay.stats.ranking import auroc as plain_auroc

PROMPTS = labelled_prompts(labelled_pairs(n=24))


def readings(seed: int, *, gap: float, prompts: Prompts = PROMPTS, grain: float = 0.0) -> np.ndarray:
    """Readings whose pairs share half of their noise."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=prompts.n)[prompts.unit]
    found = gap * prompts.y + (rng.normal(size=len(prompts.y)) + shared) / np.sqrt(2)
    return np.round(found / grain) * grain if grain else found


@given(st.integers(0, 10**6), st.floats(-2, 3), st.sampled_from([0.0, 0.5, 2.0]))
def test_the_mean_over_pairs_is_the_area(seed: int, gap: float, grain: float) -> None:
    values = readings(seed, gap=gap, grain=grain)
    assert auroc(values, PROMPTS).mean() == pytest.approx(plain_auroc(values, PROMPTS.y == 1), abs=1e-12)


def test_the_spread_over_pairs_is_that_of_new_samples() -> None:
    """DeLong's: the standard error from one sample against the standard deviation over 400 samples."""
    areas = np.stack([auroc(readings(seed, gap=1.0), PROMPTS) for seed in range(400)])
    said = (areas.std(axis=1, ddof=1) / np.sqrt(PROMPTS.n)).mean()
    assert said == pytest.approx(
        areas.mean(axis=1).std(), rel=0.15
    )  # 400 samples: 3.5 % error of a deviation, and n is 24


def test_shares_of_one_label() -> None:
    rng = np.random.default_rng(0)
    flagged, positive = rng.random(48) < 0.4, PROMPTS.y == 1
    assert share_among(flagged, positive, PROMPTS).mean() == pytest.approx(flagged[positive].mean())
    with pytest.raises(DataError, match="share of none"):
        share_among(flagged, np.zeros(48, dtype=bool), PROMPTS)
    np.testing.assert_allclose(right((flagged).astype(int), PROMPTS).mean(), (flagged == positive).mean())


def test_calibration() -> None:
    truth = (PROMPTS.y == 1).astype(float)
    assert brier(truth, PROMPTS).mean() == 0 and brier(1 - truth, PROMPTS).mean() == 1
    assert brier(np.full(48, 0.5), PROMPTS).mean() == 0.25
    assert calibration_error(truth, PROMPTS) == 0 and calibration_error(
        np.full(48, 0.9), PROMPTS, bins=1
    ) == pytest.approx(0.4)


def test_one_label_alone_has_no_area() -> None:
    same = labelled_pairs(n=4)
    examples = tuple(each.model_copy(update={"label": True, "corrupt_label": None}) for each in same)
    pairs = type(same)(examples).align(None)
    with pytest.raises(DataError, match="one label"):
        labelled_prompts(pairs)
    with pytest.raises(DataError, match="nothing to tell apart"):
        auroc(np.zeros(4), labelled_prompts(pairs, known=("False", "True")))
