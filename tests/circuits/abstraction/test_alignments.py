"""Interchange, DAS, boundless DAS, masks and components on the hierarchical equality network, and what they save.

Where `left` is is known (`equality.true_basis`), so the best IIA is what the network itself allows. Bounds leave room for
another machine's rounding; an interval of 400 held-out examples is ± .02 at .95 and ± .05 at .5.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.circuits.abstraction.equality import CAUSAL, FIRST, HALF, HIDDEN, examples, trained, true_basis

from assay.circuits.abstraction import (
    Alignment,
    Annealing,
    Training,
    alignment_of,
    boundless_das,
    das,
    dbm,
    interchange,
    pca_alignment,
)
from assay.circuits.abstraction.axes import components
from assay.circuits.abstraction.measuring import answered, answered_edits
from assay.circuits.abstraction.spaces import Bounded, Masked, Rotated
from assay.core.errors import AssayError, DataError, SettingsError, StorageError
from assay.core.progress import listening
from assay.core.registry import find
from assay.core.result import Result
from assay.experiments import edit

QUICK = Training(epochs=30, rate=0.01, batch=64)
ONE_STEP = Training(epochs=1, batch=512)


@pytest.fixture(scope="module")
def rotated() -> Result:
    return das(trained(), examples().of("left"), sites=(FIRST,), rank=HALF, training=QUICK)


def test_the_known_place_gives_the_known_answer() -> None:
    test = examples().of("left", split="test")
    known = Alignment(variable="left", method="by hand", site=FIRST, basis=true_basis())
    other = Alignment(variable="left", method="by hand", site=FIRST, basis=_beside(true_basis()))
    found = answered(trained(), test, [known, other])
    assert found.correct[0].mean() > 0.98
    right = [CAUSAL.interchange(each.base, {"right": each.source})["same"] for each in test.examples]
    assert (found.logits[1].argmax(-1) == right).mean() > 0.98  # what is beside it is the other variable


def _beside(basis: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svd(basis, full_matrices=True).U[:, basis.shape[1] :]


def only(result: Result, name: str) -> float:
    return float(result[name].values.reshape(-1)[0])


def test_das_finds_the_variable_in_the_first_layer_and_nothing_in_shuffled_weights(rotated: Result) -> None:
    assert only(rotated, "does_task") > 0.97
    assert only(rotated, "iia") > 0.97 and only(rotated, "logit_fraction") > 1.5
    assert only(rotated, "untrained") < 0.6 and only(rotated, "random") < 0.7
    assert abs(only(rotated, "train_iia") - only(rotated, "iia")) < 0.06
    assert rotated["correct"].mean() == pytest.approx(only(rotated, "iia"))
    assert rotated.cost.backward_passes > 0


def test_whole_layers_and_axes_do_worse_than_a_rotation(rotated: Result) -> None:
    data = examples().of("left")
    whole = interchange(trained(), data, sites=(FIRST, "native:4:out"))
    assert whole["iia"].dims == ("variable", "site", "pos") and float(whole["iia"].max()) < 0.6
    masked = dbm(trained(), data, sites=(FIRST,), training=QUICK, baseline=False)
    assert only(masked, "iia") < only(rotated, "iia") - 0.2
    assert 0 < only(masked, "width") < HIDDEN and masked["mask"].sum() == only(masked, "width")
    leading = pca_alignment(trained(), data, sites=(FIRST,), rank=HALF, baseline=False)
    assert only(leading, "iia") < 0.65


def test_boundless_das_finds_a_width_of_at_most_half() -> None:
    found = boundless_das(trained(), examples().of("left"), sites=(FIRST,), training=QUICK, baseline=False)
    assert only(found, "iia") > 0.97 and 1 < only(found, "width") <= HALF


def test_wider_costs_more_make_it_narrower() -> None:
    dear = Annealing(cost=50.0)
    found = boundless_das(
        trained(), examples(200).of("left"), sites=(FIRST,), annealing=dear, training=QUICK, baseline=False
    )
    assert only(found, "width") <= 2


def test_what_is_found_comes_back_as_an_edit_with_the_same_accuracy(rotated: Result, tmp_path: Path) -> None:
    found = alignment_of(rotated, variable="left")
    again = Alignment.load(found.save(tmp_path / "left.json"))
    assert again == found and again.width == HALF and again.facts[0].startswith("IIA ")
    test = examples().of("left", split="test")
    measured = answered(trained(), test, [again])
    assert measured.correct.mean() == only(rotated, "iia")
    (change,) = again.edits("other")
    source = {"other": test.source}
    logits = trained().run(test.base, edits=[change], sources=source).logits
    assert np.array_equal(logits.argmax(-1).numpy() == test.expected, measured.correct[0])


def test_a_result_survives_its_file(rotated: Result, tmp_path: Path) -> None:
    again = Result.load(rotated.save(tmp_path / "das.npz"))
    assert alignment_of(again) == alignment_of(rotated)


def test_the_same_seed_gives_the_same_numbers() -> None:
    data = examples(200).of("right")
    short = Training(epochs=3, batch=32, seed=4)
    first, second = (das(trained(), data, sites=(FIRST,), rank=3, training=short, baseline=False) for _ in range(2))
    assert first.data.equals(second.data)
    other = Training(epochs=3, batch=32, seed=5)
    third = das(trained(), data, sites=(FIRST,), rank=3, training=other, baseline=False)
    assert not np.array_equal(first["basis"].values, third["basis"].values)


def test_training_stops_when_held_out_pairs_get_no_better() -> None:
    data = examples(200).of("left")
    patient = Training(epochs=60, rate=0.05, batch=64, patience=2)
    found = das(trained(), data, sites=("native:6:out",), rank=2, training=patient, baseline=False)
    assert only(found, "epochs") < 60


def test_a_full_rotation_is_the_whole_place_and_the_identity_mask_too() -> None:
    data = examples(200).of("left", split="test")
    basis = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(0))).Q
    edits = [
        (edit.patch(FIRST, source="source"),),
        (edit.swap(FIRST, source="source", basis=basis),),
        Alignment(variable="left", method="by hand", site=FIRST, dims=tuple(range(HIDDEN))).edits(),
        Alignment(variable="left", method="by hand", site=FIRST).edits(),
        (),
        Alignment(variable="left", method="by hand", site=FIRST, dims=()).edits(),
    ]
    logits = answered_edits(trained(), data, edits).logits
    # single precision through a rotation and back: about 1e-6 of values near 10
    assert np.abs(logits[1:4] - logits[0]).max() < 1e-4
    assert np.array_equal(logits[4], logits[5]) and np.array_equal(
        logits[4], answered_edits(trained(), data, [()]).unchanged
    )


def test_settled_spaces_do_what_their_hard_masks_do() -> None:
    draw = torch.Generator().manual_seed(0)
    base, source = torch.randn(2, 5, 8, generator=draw)
    rotated = Rotated(8, 3, seed=1)
    basis = rotated.settled().basis
    assert basis is not None and torch.allclose(basis.T @ basis, torch.eye(3), atol=1e-6)
    assert torch.allclose(rotated.swap(base, source), base + (source - base) @ basis @ basis.T, atol=1e-6)
    bounded = Bounded(8, 8, seed=1, cost=1.0, temperature=(50.0, 0.001))
    assert bounded.penalty().item() == 0
    bounded.anneal(1.0)
    basis = bounded.settled().basis
    assert basis is not None and basis.shape == (8, 4) and bounded.penalty().item() == 0.5
    assert torch.allclose(bounded.swap(base, source), base + (source - base) @ basis @ basis.T, atol=1e-5)
    masked = Masked(8, cost=1.0, temperature=(1.0, 1e-4))
    masked.anneal(1.0)
    with torch.no_grad():
        masked.weights.copy_(torch.tensor([1.0, -1, 1, -1, -1, -1, -1, -1]))
    assert masked.settled().dims == (0, 2) and masked.penalty().item() == pytest.approx(0.25)
    wanted = base.clone()
    wanted[:, [0, 2]] = source[:, [0, 2]]
    assert torch.allclose(masked.swap(base, source), wanted)


def test_components_are_those_of_the_covariance() -> None:
    values = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9, 3, 0.1, 0.5])
    found = components(values + 100)
    sizes, vectors = np.linalg.eigh(np.cov(values.double().numpy().T))
    assert np.allclose(np.abs(found.numpy().T @ vectors[:, ::-1]), np.eye(5), atol=1e-5) and sizes[-1] > 50


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    with listening(lambda done, total: told.append((done, total))):
        das(trained(), examples(200), sites=(FIRST,), training=ONE_STEP)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_methods_are_registered_with_their_settings() -> None:
    found = find("das").run(trained(), examples(200).of("left"), {"sites": [FIRST], "training": {"epochs": 1}})
    assert found["iia"].shape == (1, 1, 1) and find("illusion_checks").takes == {"alignment": Alignment}
    with pytest.raises(AssayError, match="epochs: input should be greater"):
        find("das").validated({"sites": [FIRST], "training": {"epochs": 0}})


def test_what_cannot_be_searched_is_said_in_one_line(tmp_path: Path) -> None:
    model, data = trained(), examples(200)
    with pytest.raises(SettingsError, match="25 dimensions in a place of 24"):
        das(model, data, sites=(FIRST,), rank=25, training=ONE_STEP)
    with pytest.raises(SettingsError, match="at least one site"):
        das(model, data, sites=(), training=ONE_STEP)
    with pytest.raises(SettingsError, match="different sizes"):
        das(model, data.of("left"), sites=(FIRST, "native:0:in"), training=ONE_STEP, baseline=False)
    with pytest.raises(AssayError, match="no module is called"):
        das(model, data, sites=("native:11:out",), training=ONE_STEP)
    with pytest.raises(DataError, match="no example of left is in the split 'test'"):
        das(model, data.of("left", split="train"), sites=(FIRST,), training=ONE_STEP)
    with pytest.raises(DataError, match="holds no alignments"):
        alignment_of(interchange(model, data, sites=(FIRST,), baseline=False))
    with pytest.raises(StorageError, match="cannot read the alignment"):
        Alignment.load(tmp_path / "none.json")
    (tmp_path / "new.json").write_text('{"format": 99}')
    with pytest.raises(StorageError, match="not an alignment of a format up to 1"):
        Alignment.load(tmp_path / "new.json")
