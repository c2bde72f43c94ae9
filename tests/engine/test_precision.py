"""Fewer bits are a choice, and the result says what they cost."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.conformance import zoo

import assay
from assay import edit, metric, sweep
from assay.core.errors import ExperimentError
from assay.core.result import Result
from assay.engine import naive
from assay.engine.model import Model
from assay.engine.precision import sample

INPUTS = {"a": [[5, 7, 11, 13, 17]] * 6, "b": [[5, 7, 31, 33, 37]] * 6}
EXPERIMENT = sweep(
    edit.patch("resid_post", "b"), ["layer", "pos"], inputs=INPUTS, base="a", metrics=[metric.logit_diff(4, 9)]
)


@pytest.fixture(scope="module")
def single() -> Model:
    native, _ = zoo.build("llama")
    return assay.load(native.float())


def fact(result: Result) -> str:
    return next((f for f in result.provenance.facts if f.startswith("ran in")), "")


def test_the_deviation_is_that_of_the_sample(single: Model) -> None:
    """Recomputed here from whole runs in both precisions: the sample's largest difference is no larger than theirs."""
    low, high = single.measure(EXPERIMENT, dtype="bfloat16"), single.measure(EXPERIMENT)
    told = low.data.attrs["deviation"]["logit_diff"]["largest_difference"]
    part, variants, examples = sample(EXPERIMENT, single.network)
    assert (variants, examples) == (4, 4)
    by_hand = assay.load(copy.deepcopy(single.native).to(torch.bfloat16))
    here, there = (naive.measure(m.network, part)["logit_diff"].values for m in (by_hand, single))
    assert told == np.abs(here - there).max()
    whole = np.abs(low["logit_diff"].values - high["logit_diff"].values).max()
    assert 0 < told <= whole * 2  # the sample is run in batches of another shape: bfloat16 rounds otherwise there
    assert "bfloat16" in fact(low) and "4 variants and 4 examples" in fact(low)
    assert not fact(high)
    assert single.dtype == torch.float32


def test_a_model_in_few_bits_is_compared_with_a_copy(single: Model) -> None:
    native, _ = zoo.build("llama")
    low = assay.load(native.to(torch.bfloat16))
    result = low.measure(EXPERIMENT)
    assert "ran in bfloat16" in fact(result) and "differs from float32" in fact(result)
    with pytest.raises(ExperimentError, match="in bfloat16 already"):
        low.measure(EXPERIMENT, dtype="bfloat16")


def test_what_is_refused(single: Model) -> None:
    with pytest.raises(ExperimentError, match="expected 'bfloat16' or 'float16'"):
        single.measure(EXPERIMENT, dtype="int8")
    with pytest.raises(ExperimentError, match="without="):
        single.measure(EXPERIMENT, engine="naive", without=["depth"])
    with pytest.raises(ExperimentError, match="memory="):
        single.measure(EXPERIMENT, engine="naive", memory=0.5)


def test_a_deviation_is_kept_with_the_result(single: Model, tmp_path: object) -> None:
    result = single.measure(EXPERIMENT, dtype="bfloat16")
    again = Result.load(result.save(f"{tmp_path}/result"))
    assert again.data.attrs["deviation"] == result.data.attrs["deviation"]


def test_weights_changed_in_place_are_seen() -> None:
    native, _ = zoo.build("llama")
    model = assay.load(native.float())
    before = model.measure(EXPERIMENT, dtype="bfloat16")["logit_diff"].values
    with torch.no_grad():
        native.lm_head.weight.mul_(2.0)
    after = model.measure(EXPERIMENT, dtype="bfloat16")["logit_diff"].values
    np.testing.assert_allclose(after, 2 * before, rtol=1e-6)  # a power of two is exact in bfloat16
