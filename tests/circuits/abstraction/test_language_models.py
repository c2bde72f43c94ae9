"""Causal abstraction in transformers: places by layer, position and head, against runs that are patched by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.tiny_pairs import VOCABULARY, tiny_gpt2, tiny_llama

from assay.circuits.abstraction import (
    Alignment,
    CausalModel,
    Counterfactuals,
    Training,
    Written,
    alignment_of,
    counterfactuals,
    das,
    feature_alignment,
    interchange,
)
from assay.circuits.abstraction.measuring import answered, answered_edits
from assay.circuits.abstraction.untrained import untrained
from assay.core.errors import DataError, SettingsError
from assay.experiments import edit

SHORT = Training(epochs=2, batch=16)
CAUSAL = CausalModel(
    inputs={name: range(1, 21) for name in "ab"}, variables={"equal": "a == b", "answer": "equal"}, output="answer"
)


def data(**more: object) -> Counterfactuals:
    written = Written(positions={"second": 2, "end": -1})
    settings = {"answers": {True: 30, False: 31}, "n": 30, "written_for": written, **more}
    return counterfactuals(CAUSAL, lambda s: [40, s["a"], s["b"], 41], **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_every_cell_of_a_sweep_is_the_run_that_is_patched_by_hand(make: object) -> None:
    model = make()  # type: ignore[operator]
    test = data().of(split="test")
    found = interchange(model, data(), sites=("resid_post",), positions=("second", "end"))
    assert found["iia"].dims == ("variable", "layer", "pos") and found["untrained"].shape == found["iia"].shape
    base, source = ([list(row) for row in given.tokens] for given in (test.base, test.source))  # type: ignore[attr-defined]
    for layer in found.data["layer"].values.tolist():
        for name, pos in (("second", 2), ("end", 3)):
            change = edit.patch(f"L{layer}.resid_post", source="other", pos=pos)
            logits = model.run(base, edits=change, sources={"other": source}).logits[:, -1, [30, 31]]
            right = logits.argmax(-1).numpy() == test.expected
            assert np.array_equal(found["correct"].sel(variable="equal", layer=layer, pos=name).values == 1, right)


def test_a_subspace_of_a_head_is_searched_at_each_layer_and_position() -> None:
    model = tiny_llama()
    found = das(model, data(), sites=("z",), positions=("end", -1), head=1, rank=2, training=SHORT)
    assert found["basis"].shape == (1, 3, 2, 8, 2)
    # "end" is the last position: the same place twice, so the same search
    assert found["iia"].sel(pos="end").equals(found["iia"].sel(pos="-1").assign_coords(pos="end"))
    made = alignment_of(found, layer=2, pos=-1)
    assert (made.site, made.pos, made.head, made.width) == ("L2.z", -1, 1, 2)
    kept = made.basis.tensor.double()  # type: ignore[union-attr]
    assert torch.allclose(kept.T @ kept, torch.eye(2).double(), atol=1e-6)
    measured = answered(model, data().of(split="test"), [made])
    assert measured.correct.mean() == float(found["iia"].sel(layer=2, pos="-1").item())


def test_all_positions_at_once_and_several_sites() -> None:
    found = das(tiny_gpt2(), data(), sites=("L1.attn_out", "L0.mlp_out"), training=SHORT, baseline=False)
    assert found["iia"].dims == ("variable", "site", "pos")
    assert found["iia"].coords["site"].values.tolist() == ["L1.attn_out", "L0.mlp_out"]
    assert alignment_of(found, layer="L0.mlp_out").pos is None


def test_features_of_a_dictionary(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = {"encoder": (32, 12), "encoder_bias": (12,), "decoder": (12, 32), "decoder_bias": (32,)}
    save_file({n: torch.randn(s, generator=draw) for n, s in shapes.items()}, tmp_path / "dictionary.safetensors")
    (tmp_path / "dictionary.json").write_text(json.dumps({"activation": "relu"}))
    model = tiny_llama()
    found = feature_alignment(
        model, data(), sites=("resid_post",), positions=("end",), dictionary=str(tmp_path), training=SHORT
    )
    assert found["mask"].shape == (1, 3, 1, 12) and "random" in found and "untrained" in found
    made = alignment_of(found, layer=1)
    chosen = found["mask"].sel(layer=1).values.reshape(-1)
    assert made.features == tuple(np.flatnonzero(chosen)) and made.dictionary == str(tmp_path)
    again = Alignment.load(made.save(tmp_path / "alignment.json"))
    test = data().of(split="test")
    assert np.array_equal(answered(model, test, [made]).logits, answered(model, test, [again]).logits)
    every = Alignment(
        variable="equal", method="by hand", site="L1.resid_post", dictionary=str(tmp_path), features=tuple(range(12))
    )
    change = edit.swap_features("L1.resid_post", "source", dictionary=str(tmp_path), features=range(12))
    one, other = answered(model, test, [every]).logits, answered_edits(model, test, [(change,)]).logits
    assert np.array_equal(one, other)
    with pytest.raises(SettingsError, match="the dictionary reads 32 entries, and the site has 48"):
        feature_alignment(model, data(), sites=("L0.mlp_post",), dictionary=str(tmp_path), training=SHORT)


def test_shuffled_weights_are_the_same_numbers_in_another_order() -> None:
    model = tiny_llama()
    other = untrained(model, seed=3)
    for (name, one), two in zip(model.native.named_parameters(), other.native.parameters(), strict=True):
        assert torch.equal(one.flatten().sort().values, two.flatten().sort().values), name
    assert other.fingerprint != model.fingerprint
    ids = [[1, 2, 3]]
    assert torch.equal(untrained(model, seed=3).run(ids).logits, other.run(ids).logits)
    assert not torch.allclose(model.run(ids).logits, other.run(ids).logits)


def test_labels_need_tokens_of_their_own() -> None:
    same = data(answers={True: 30, False: 30})
    with pytest.raises(DataError, match="have the same token"):
        interchange(tiny_llama(), same, sites=("L0.resid_post",))
    assert VOCABULARY > 41
