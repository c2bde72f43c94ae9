"""The untrained control on real methods: a planted ability is gone, and a random network is no better than another."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine.test_untrained import repeating
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import patch_heads, patch_residual
from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model
from assay.stats.controls.cells import cells_of

from .planted import CARD, prompts, registered_for_the_test

FAST = {"resamples": 300}


def test_a_trained_ability_stands_out() -> None:
    with registered_for_the_test():

        @method(gives=Result, **CARD)
        def repeats(model: Model, data: torch.Tensor) -> Result:
            """How often the last token comes again."""
            right = model.run(data).logits[:, -1].argmax(-1) == data[:, -1]
            return Result(xr.Dataset({"correct": (("example",), right.numpy())}))

        model = repeating()
        found = repeats(model, prompts(40)).against("untrained", seeds=3, **FAST)
    assert found.result.value == 1
    assert found["untrained"].estimate.value < 0.15 and found["untrained"].runs == 3
    assert found.stands_out


def test_a_network_that_has_learned_nothing_does_not() -> None:
    model = tiny_llama()
    scores = patch_heads(model, pairs_of_ids(8), direction="denoise")
    assert scores.against("untrained", **FAST)["untrained"].standing == "not told apart"


def test_a_model_that_is_gone_can_be_given_again() -> None:
    scores = patch_heads(tiny_llama(), pairs_of_ids(4), direction="denoise")
    gc.collect()
    with pytest.raises(SettingsError, match="is gone: keep it, or give it as model="):
        scores.against("untrained")
    assert scores.against("untrained", model=tiny_llama(), **FAST).rows


def test_shares_in_another_network_are_held_at_the_results_own_scale() -> None:
    """A network that does nothing has shares of next to nothing: its best part would stand for a whole effect."""
    trained = cells_of(Scores.over_examples(["L0.H0", "L1.H0"], np.array([[0.5, 0.7], [0.1, 0.1]]), "share", unit=8.0))
    before = cells_of(Scores.over_examples(["L0.H0", "L1.H0"], np.array([[1.0, 3.0], [0.0, 0.0]]), "share", unit=-0.04))
    held = before.in_units_of(trained)
    np.testing.assert_allclose(held.values, [-0.01, 0.0])
    assert held.rows is not None
    np.testing.assert_allclose(held.rows, [[-0.005, -0.015], [0.0, 0.0]])
    plain = cells_of(Scores.of({"L0.H0": 2.0}, "logits"))
    assert plain.in_units_of(trained) is plain and before.in_units_of(plain) is before


def test_patching_says_what_a_share_stands_for() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(4)
    heads = patch_heads(model, pairs, direction="denoise")
    effects = patch_residual(model, pairs, direction="noise", positions=("end",))
    gap = float((effects.data["clean"] - effects.data["corrupt"]).mean())
    assert heads.unit == pytest.approx(gap) and effects.data["share"].attrs["unit"] == pytest.approx(-gap)
    assert Scores.from_dataset(heads.to_dataset()).unit == heads.unit == Scores.from_json(heads.to_json()).unit
    assert heads.only("L0.*").unit == heads.unit
