"""Features of a dictionary: against the edit by hand, and with a dictionary whose features are a site's own entries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.circuits.by_hand import difference, kept, put, with_changes
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay import edit, metric
from assay.circuits import ablate_feature_positions, ablate_features
from assay.circuits.contrast import Contrast
from assay.core.errors import DataError, SettingsError
from assay.data.pairs import Pairs

EXACT = 1e-9  # double precision
SITE, MODULE = "L1.resid_post", "model.layers.1"


def dictionary(folder: Path, encoder: torch.Tensor, decoder: torch.Tensor) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "dictionary.json").write_text(json.dumps({"activation": "relu"}))
    biases = {
        "encoder_bias": torch.zeros(encoder.shape[1]).double(),
        "decoder_bias": torch.zeros(decoder.shape[1]).double(),
    }
    save_file(
        {"encoder": encoder.contiguous(), "decoder": decoder.contiguous(), **biases}, folder / "dictionary.safetensors"
    )
    return str(folder)


@pytest.fixture
def some(tmp_path: Path) -> str:
    draw = torch.Generator().manual_seed(0)
    return dictionary(
        tmp_path / "d", torch.randn(32, 6, generator=draw).double(), torch.randn(6, 32, generator=draw).double()
    )


def settings(folder: str, **more: object) -> dict[str, object]:
    return {"dictionary": folder, "site": SITE, "features": (1, 4), "metric": "logit_diff", **more}


def test_zero_is_the_engines_own_edit(some: str) -> None:
    """Setting a feature to zero with `edit.feature`, at all positions and at one."""
    model, pairs = tiny_llama(), pairs_of_ids()
    found = ablate_features(model, pairs, ablation="zero", direction="noise", **settings(some))  # type: ignore[arg-type]
    inputs = Contrast(pairs).inputs
    plain = model.run(inputs["clean"], metrics=metric.logit_diff()).metrics["logit_diff"]
    changed = model.run(inputs["clean"], metrics=metric.logit_diff(), edits=edit.feature(SITE, some, values={4: 0.0}))
    assert found.per_example is not None and found.components == (f"{SITE}.F1", f"{SITE}.F4")
    np.testing.assert_allclose(found.per_example[1], plain - changed.metrics["logit_diff"], atol=EXACT)
    at = ablate_feature_positions(model, pairs, ablation="zero", positions=("subject", "end"), **settings(some)).data[
        "effect"
    ]  # type: ignore[arg-type]
    one = model.run(
        inputs["clean"], metrics=metric.logit_diff(), edits=edit.feature(SITE, some, values={4: 0.0}, pos="subject")
    )
    np.testing.assert_allclose(
        at.sel(component=f"{SITE}.F4", pos="subject"), plain - one.metrics["logit_diff"], atol=EXACT
    )


@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_a_dictionary_of_entries_is_patching_of_entries(tmp_path: Path, direction: str) -> None:
    """Encoder and decoder ±identity: features 4 and 36 together are entry 4 of the stream; patched by hand."""
    both = torch.cat([torch.eye(32), -torch.eye(32)], 1).double()
    folder = dictionary(tmp_path / "d", both, both.T)
    model, pairs = tiny_llama(), pairs_of_ids()
    pair = (pairs.clean_tokens, pairs.corrupt_tokens)
    here, there = pair if direction == "noise" else pair[::-1]
    own, other = (kept(model, MODULE, ids, "out") for ids in (here, there))
    value = own.clone()
    value[..., 4] = other[..., 4].relu() - (-own[..., 4]).relu()  # feature 36 holds the negative part, and stays
    changed = with_changes(model, pairs, here, [(MODULE, "out", put(slice(4, 5), value))])
    sign = 1 if direction == "noise" else -1
    found = ablate_features(
        model, pairs, ablation="counterfactual", direction=direction, **settings(folder, features=(4,))
    )  # type: ignore[arg-type]
    assert found.per_example is not None
    np.testing.assert_allclose(found.per_example[0], sign * (difference(model, pairs, here) - changed), atol=EXACT)


def test_the_mean_of_activations_with_prompts_of_different_length(some: str) -> None:
    model = tiny_llama()
    short, long = pairs_of_ids(2, length=5), pairs_of_ids(2, length=8, seed=3)
    mixed = Pairs((long[0], short[0], long[1], short[1])).align(None)
    found = ablate_features(model, mixed, ablation="mean", direction="noise", **settings(some))  # type: ignore[arg-type]
    from assay.engine.dictionary import read_dictionary

    basis = read_dictionary(some)
    streams = [model.run([list(t.corrupt)], capture=SITE)[SITE][0] for t in mixed.aligned_tokens()]
    mean = float(torch.cat([basis.encode(s)[:, 4] for s in streams]).mean())
    inputs = Contrast(mixed).inputs
    plain = model.run(inputs["clean"], metrics=metric.logit_diff()).metrics["logit_diff"]
    changed = model.run(inputs["clean"], metrics=metric.logit_diff(), edits=edit.feature(SITE, some, values={4: mean}))
    assert found.per_example is not None
    np.testing.assert_allclose(found.per_example[1], plain - changed.metrics["logit_diff"], atol=EXACT)


def test_what_is_refused(some: str) -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    for more, kind, message in (
        ({"features": (9,)}, DataError, "feature 9 is out of range: this dictionary has features 0-5"),
        ({"features": (1, 1)}, DataError, "expected at least one, each once"),
        ({"ablation": "optimal"}, SettingsError, "learned for sites, not for features"),
        ({"ablation": "zero", "direction": "denoise"}, SettingsError, "denoise puts clean values"),
        ({"site": "L1.z"}, DataError, "a dictionary reads one vector at each position"),
    ):
        with pytest.raises(kind, match=message):
            ablate_features(model, pairs, **settings(some, **{"ablation": "zero", "direction": "noise", **more}))  # type: ignore[arg-type]
