"""Isolation: an alignment that moves everything causes and does not isolate; one trained on both does both."""

from __future__ import annotations

import pytest
from tests.circuits.abstraction.equality import FIRST, HALF, examples, trained

from assay.circuits.abstraction import Training, disentangle
from assay.core.errors import DataError, SettingsError

TRAINING = Training(epochs=25, rate=0.02, batch=64)


def test_training_on_both_sorts_of_examples_isolates() -> None:
    found = disentangle(
        trained(), examples(1000).of("left"), site=FIRST, rank=HALF, kinds=("whole", "das", "mdas"), training=TRAINING
    )
    score, cause, isolate = (found[name].sel(variable="left") for name in ("disentangle", "cause", "isolate"))
    # the whole place moves both variables: it never isolates, and causes where the other has the same value in both
    assert float(isolate.sel(kind="whole")) == 0 and 0.3 < float(cause.sel(kind="whole")) < 0.7
    assert float(score.sel(kind="mdas")) > 0.95 > float(score.sel(kind="das")) > float(score.sel(kind="whole"))
    for name in ("cause", "isolate", "disentangle"):
        assert (found[f"{name}_low"] <= found[name]).all() and (found[name] <= found[f"{name}_high"]).all()
    mean = (found["cause"] + found["isolate"]) / 2
    assert abs(mean - found["disentangle"]).max() < 1e-9


def test_masks_and_components_are_compared_too() -> None:
    short = Training(epochs=2, batch=256)
    found = disentangle(trained(), examples(200), site=FIRST, rank=2, kinds=("pca", "dbm", "mdbm"), training=short)
    assert found["cause"].shape == (2, 3) and list(found.data["kind"].values) == ["pca", "dbm", "mdbm"]
    assert found["width"].sel(kind="pca").values.tolist() == [2, 2]


def test_what_cannot_be_compared() -> None:
    data = examples(200).of("left")
    quiet = data.take([i for i, each in enumerate(data.examples) if not each.resists])
    with pytest.raises(DataError, match="nothing to isolate it from"):
        disentangle(trained(), quiet, site=FIRST)
    with pytest.raises(SettingsError, match="no kind of alignment"):
        disentangle(trained(), data, site=FIRST, kinds=())
    with pytest.raises(SettingsError, match="40 dimensions in a place of 24"):
        disentangle(trained(), data, site=FIRST, rank=40, kinds=("das",))
