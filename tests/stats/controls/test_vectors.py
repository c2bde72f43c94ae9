"""Vectors of controls: norms are kept, directions are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import SettingsError
from assay.stats.controls import matched_noise, random_direction, wrong_sign

from .planted import Vector, localise, prompts, pushed, steering

ROWS = np.random.default_rng(0).normal(size=(6, 40)) * np.arange(1, 7)[:, None]
ROUNDING = 1e-12


@given(st.integers(0, 1000))
def test_norms_are_kept(seed: int) -> None:
    for change in (random_direction, matched_noise):
        new = change(ROWS, seed=seed)
        assert np.linalg.norm(new, axis=1) == pytest.approx(np.linalg.norm(ROWS, axis=1), rel=ROUNDING)


def test_one_direction_for_all_rows_or_one_for_each() -> None:
    one, each = (np.corrcoef(change(ROWS, seed=3)) for change in (random_direction, matched_noise))
    assert np.allclose(one, 1)
    assert np.abs(each[np.triu_indices(6, 1)]).max() < 0.6  # 40 dimensions: a standard error of .16


def test_directions_are_uniform() -> None:
    drawn = np.stack([random_direction(ROWS[0], seed=seed) for seed in range(400)]) / np.linalg.norm(ROWS[0])
    assert np.abs(drawn.mean(0)).max() < 0.035  # standard error 1/√(40 · 400) = .008
    assert (drawn**2).mean(0) == pytest.approx(np.full(40, 1 / 40), rel=0.4)


def test_wrong_sign_twice_is_the_same() -> None:
    assert np.array_equal(wrong_sign(wrong_sign(ROWS)), ROWS)
    assert wrong_sign(ROWS)[0, 0] == -ROWS[0, 0]


def test_a_zero_vector_stays_zero() -> None:
    assert not random_direction(np.zeros(5), seed=0).any()


def test_vectors_keep_their_type() -> None:
    model, planted = steering()
    tensor = Vector(torch.as_tensor(planted.vector, dtype=torch.float32))
    found = pushed(model, prompts(4), direction=tensor).against("random_direction", "wrong_sign", resamples=100)
    same = pushed(model, prompts(4), direction=planted).against("random_direction", "wrong_sign", resamples=100)
    for name in ("random_direction", "wrong_sign"):
        assert found[name].estimate.value == pytest.approx(same[name].estimate.value, rel=1e-5)  # single precision


def test_methods_without_a_direction() -> None:
    with pytest.raises(SettingsError, match="localise was handed no direction"):
        localise(None, 10).against("wrong_sign")
