"""How good dictionaries are that lose nothing, everything, or something that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.dictionaries.made import identity, nothing, of_rows
from tests.tiny_pairs import tiny_gpt2, tiny_llama

from assay.core.errors import DataError
from assay.dictionaries import Recipe, Texts, dictionary_quality, summary, train_dictionary
from assay.engine.model import Model
from assay.engine.untrained import untrained
from assay.experiments import metric

SITE = "L1.resid_post"
TEXTS = [[1 + (11 * i + j * j) % 59 for j in range(5 + i % 4)] for i in range(10)]
ROUNDING = 1e-5
"""Activations are rebuilt in single precision."""


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_the_identity_loses_nothing(make: type[Model]) -> None:
    found = dictionary_quality(make(), TEXTS, dictionary=identity(32, site="L0.resid_post"))
    told = summary(found)
    assert told["loss_recovered.dictionary"] == pytest.approx(1, abs=ROUNDING)
    assert told["unexplained.dictionary"] == pytest.approx(0, abs=ROUNDING)
    assert told["active"] == pytest.approx(32)  # either part of each entry
    assert np.allclose(
        found["loss"].sel(replaced_by="pca"), found["loss"].sel(replaced_by="nothing"), atol=ROUNDING
    )  # of full rank


def test_writing_nothing_recovers_nothing() -> None:
    found = dictionary_quality(tiny_llama(), TEXTS, dictionary=nothing(32, site=SITE))
    assert summary(found)["loss_recovered.dictionary"] == pytest.approx(0, abs=ROUNDING)
    assert np.allclose(found["error"].sel(replaced_by="dictionary"), found["error"].sel(replaced_by="zero"))
    assert float(found["active"].max()) == 0 and float(found["dead_share"]) == 1


def test_losses_are_those_of_the_model_with_the_site_replaced() -> None:
    """By hand: plain passes of the native model, with the last block's output set at all positions but the first."""
    model = tiny_llama()
    dictionary = of_rows(torch.eye(32)[:20], site="L2.resid_post", bias=-0.1)
    found = dictionary_quality(model, TEXTS[:1], dictionary=dictionary)
    ids = torch.tensor([TEXTS[0]])
    with model.hooked(
        {"L2.resid_post": lambda x: torch.cat([x[:, :1], dictionary.reconstruct(x[:, 1:])], 1)}
    ) as native:
        logits = native(ids).logits[0].detach()
    expected = torch.nn.functional.cross_entropy(logits[1:-1], ids[0, 2:])
    assert found["loss"].sel(replaced_by="dictionary").item() == pytest.approx(float(expected), abs=ROUNDING)


def test_the_start_is_not_replaced() -> None:
    model, skipped = tiny_llama(), nothing(32, site="L0.resid_post", skip=3)
    found = dictionary_quality(model, TEXTS, dictionary=skipped)
    plain = dictionary_quality(model, TEXTS, dictionary=nothing(32, site="L0.resid_post"))
    assert not np.allclose(found["loss"].sel(replaced_by="zero"), plain["loss"].sel(replaced_by="zero"))
    with pytest.raises(DataError, match="more than 31 tokens"):
        dictionary_quality(model, TEXTS, dictionary=nothing(32, site=SITE, skip=30))


def test_a_dictionary_of_the_untrained_model_is_measured_there() -> None:
    model, recipe = tiny_llama(), Recipe(features=48, k=6, epochs=1, batch=16)
    loss = metric.loss(pos=slice(1, None), reduce="mean")
    for weights, which in (("trained", model), ("untrained", untrained(model, seed=7))):
        made = train_dictionary(
            model, TEXTS, site=SITE, texts=Texts(context=16), recipe=recipe, weights=weights, seed=7
        )
        found = dictionary_quality(model, TEXTS, dictionary=made)["loss"].sel(replaced_by="nothing")
        expected = which.run(TEXTS, metrics=loss).metrics["loss"]
        assert np.allclose(found, expected.detach(), atol=ROUNDING)
        assert made.about.model_fingerprint == which.fingerprint
