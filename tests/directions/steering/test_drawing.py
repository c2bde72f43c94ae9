"""The picture of a steering result: drawn from stored numbers alone, with every arm in it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from assay.directions.steering import steering_pictures


def _numbers(draws: int) -> xr.Dataset:
    strength, example = np.array([0.5, 1.0]), np.arange(4)
    own = strength[None, :, None] * (1 + 0.1 * example)
    dims = ("direction", "strength", "example")
    found = {
        "effect": (dims, own),
        "effect_opposite": (dims, -own),
        "kl": (dims, own**2),
        "kl_opposite": (dims, own**2),
    }
    if draws:
        drawn = np.stack([0.1 * own] * draws)
        found |= dict.fromkeys(("effect_random", "kl_random"), (("draw", *dims), drawn))
    found |= {"counterpart": (("example",), example + 2.0), "unsteered": (("example",), example * 1.0)}
    found["added_share"] = (dims[:2], strength[None])
    return xr.Dataset(found, coords={"direction": ["L1.resid_post"], "strength": strength})


def test_a_curve_for_each_arm_and_lines_for_what_has_no_cost() -> None:
    (drawn,) = steering_pictures(_numbers(2))
    assert drawn.svg.count("<polyline") == 4 and drawn.svg.count("<circle") == 8
    assert "the other side of the pairs" in drawn.svg and "words in the prompt" not in drawn.svg
    assert "random, same length" in drawn.svg and "KL on the prompt" in drawn.svg and "nan" not in drawn.svg
    told = _numbers(0).assign(effect_prompt=("example", np.ones(4)))
    (drawn,) = steering_pictures(told)
    assert drawn.svg.count("<polyline") == 2 and "words in the prompt" in drawn.svg and "random" not in drawn.svg


def test_other_results_are_not_drawn() -> None:
    assert steering_pictures(xr.Dataset({"effect": (("example",), np.ones(3))})) == []
