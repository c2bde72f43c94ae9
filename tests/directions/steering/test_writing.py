"""Steered texts: the unsteered ones are the model's own, a planted direction writes its token, numbers are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from tests.directions.steering.planted import MODEL, YES, two_sided, unembedding_direction

from assay.core.errors import SettingsError
from assay.data import task
from assay.directions.steering import mean_difference, repetition, steered_texts
from assay.engine.model import Model

PAIRS = two_sided()


def test_a_planted_direction_writes_its_token_again_and_again() -> None:
    found = steered_texts(
        MODEL, PAIRS, direction=unembedding_direction(), strengths=(20.0,), at="end", prompts=3, max_new_tokens=8
    )
    assert found["loss"].dims == ("arm", "example")
    assert found.data["arm"].values.tolist() == ["unsteered", "steered 20", "random 20"]
    np.testing.assert_allclose(found["repetition"].sel(arm="steered 20"), 5 / 6)  # six triples, all alike
    assert (found["loss"].sel(arm="steered 20") > found["loss"].sel(arm="unsteered")).all()
    assert any("repeat themselves" in fact and "steered 20" in fact for fact in found.provenance.facts)
    ids = [[*prompt, *[YES] * 8] for prompt in PAIRS[:3].corrupt_tokens.tolist()]
    logits = MODEL.run(ids).logits.log_softmax(-1)
    expected = -logits[:, 6:-1, YES].mean(1)
    np.testing.assert_allclose(
        found["loss"].sel(arm="steered 20"), expected, atol=1e-5
    )  # losses are in single precision


def test_texts_stand_beside_texts(worded: Model) -> None:
    pairs = task("sentiment", n=3, split="test", tokenizer=worded)
    vector = mean_difference(worded, pairs, at="end", towards="positive", layers=(1,))
    found = steered_texts(
        worded, pairs, direction=vector, strengths=(0.5, 2.0), at={"start": 1}, instruction="great film", prompts=2,
        max_new_tokens=5,
    )  # fmt: skip
    assert found.data["arm"].values.tolist() == [
        "unsteered", "steered 0.5", "steered 2", "random 0.5", "random 2", "instruction",
    ]  # fmt: skip
    turned = [example.corrupt if example.label == "positive" else example.clean for example in pairs[:2]]
    assert found.data["prompt"].values.tolist() == turned
    own = worded.generate(turned, max_new_tokens=5)
    assert found.data["text"].sel(arm="unsteered").values.tolist() == list(own.texts or ())
    assert found.data["text"].sel(arm="steered 2").values.tolist() != list(own.texts or ())
    assert {"arm", "text", "prompt", "loss", "repetition"} <= set(found.to_dataframe())
    with pytest.raises(SettingsError, match="with one direction; these are 2"):
        steered_texts(worded, pairs, direction=mean_difference(worded, pairs, at="end", towards="positive"),
                      strengths=(1.0,), at="end")  # fmt: skip


def test_repetition() -> None:
    assert repetition([1, 2, 3, 4, 5]) == 0 and repetition([1, 2]) == 0
    assert repetition([7] * 12) == pytest.approx(0.9)
