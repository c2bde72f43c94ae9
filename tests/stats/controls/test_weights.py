"""The untrained control on real methods: a planted ability is gone, and a random network is no better than another."""

from __future__ import annotations

import gc

import pytest
import torch
import xarray as xr
from tests.engine.test_untrained import repeating
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import patch_heads
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model

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
