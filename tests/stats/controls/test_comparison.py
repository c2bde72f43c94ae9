"""Results beside controls: planted effects stand out, and nothing stands out where nothing is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from assay.core.caveats import caveats_in
from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.core.result import Result
from assay.stats.controls import Comparison, control, find_control
from assay.stats.controls.control import _CONTROLS

from .planted import Texts, Vector, keeps, localise, nearest_mean, prompts, pushed, steering

FAST = {"resamples": 300}


def test_a_planted_component_stands_out() -> None:
    found = localise(None, 40).against("random", "other-layer", **FAST)
    assert found.result.value == pytest.approx(1, abs=0.2)  # standard error .05, and the best of 12 are chosen
    for row in found.rows:
        assert row.estimate.value < 0.25 and row.standing == "ahead"
        assert row.difference.level == pytest.approx(0.975)
    assert found.stands_out and not found.caveats()


def test_where_no_component_matters_none_stands_out_in_its_layers() -> None:
    """Every part alike, and the interval is over examples that all share: nothing is ahead by more than choosing gives."""
    rows = np.random.default_rng(2).normal(1, 0.5, size=(1, 30)) + np.zeros((6, 1))
    alike = Scores.over_examples([f"L{i}.mlp" for i in range(6)], rows, "effect")
    found = alike.against("random", "other_layer", **FAST)
    assert {row.standing for row in found.rows} == {"not told apart"}
    assert found["random"].difference.half_width < 1e-12  # drawn together: unpaired, it would be .18
    texts = caveats_in(found.caveats())
    assert len(texts) == 2 and "not told apart" in texts[0]


def test_more_than_one_best() -> None:
    found = localise(None, 40).against("random", k=3, **FAST)
    assert found.result.value == pytest.approx((1 + 2 * 0.08) / 3, abs=0.1)
    assert "mean of the 3 largest of 12" in found.quantity


def test_signs_count_where_they_should() -> None:
    scores = Scores.of({"L0.mlp": -2.0, "L1.mlp": 1.0}, "effect")
    assert scores.against("random").result.value == 2
    assert scores.against("random", absolute=False).result.value == 1


def test_a_part_of_scores_is_compared_with_its_like() -> None:
    scores = localise(None, 40)
    found = scores.only(r"L[23]\..*").against("other_layer", **FAST)
    assert "of 6" in found.quantity and found["other_layer"].standing == "ahead"


def test_a_ranking_is_shuffled() -> None:
    """The two best of five keep all; two random ones 2/5 on average: a method that takes scores is run on shuffled ones."""
    ranking = Scores.of({"L0.mlp": 5.0, "L3.mlp": 4.0, "L1.mlp": 1.0, "L2.mlp": 0.5, "L4.mlp": 0.2}, "effect")
    found = keeps(None, 30, scores=ranking).against("random", seeds=40, **FAST)
    row = found["random"]
    assert row.runs == 40 and row.standing == "ahead"
    assert row.estimate.value == pytest.approx(0.4, abs=0.15)  # 3 standard errors of .25 / √40


def test_directions() -> None:
    model, planted = steering()
    found = pushed(model, prompts(), direction=planted).against(
        "random_direction", "matched_norm", "wrong_sign", seeds=3, **FAST
    )
    size = found.result.value
    assert size > 0
    assert abs(found["random_direction"].estimate.value) < 0.5 * size
    assert abs(found["matched_norm"].estimate.value) < 0.5 * size
    assert found["wrong_sign"].estimate.value < 0 and found["wrong_sign"].runs == 1
    assert found.stands_out
    nothing = Vector(0 * planted.vector)
    assert (
        pushed(model, prompts(), direction=nothing).against("wrong_sign", **FAST).rows[0].standing == "not told apart"
    )


def test_random_means_a_direction_where_there_is_one() -> None:
    model, planted = steering()
    value = pushed(model, prompts(), direction=planted)
    assert (
        value.against("random", **FAST).rows[0].estimate == value.against("random_direction", **FAST).rows[0].estimate
    )


def test_places_of_a_result_and_their_layers() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, size=(3, 2, 25))
    values[1, 1] += 1
    data = xr.Dataset(
        {"effect": (("layer", "pos", "example"), values), "name": (("pos",), ["a", "b"])},
        coords={"layer": [0, 1, 2], "pos": ["subject", "end"]},
    )
    found = Result(data).against("random", "other_layer", variable="effect", **FAST)
    assert found.result.value == pytest.approx(1, abs=0.1) and found.stands_out
    assert abs(found["other_layer"].estimate.value) < 0.1
    with pytest.raises(SettingsError, match="'name' holds no numbers"):
        Result(data).against("random", variable="name")


def test_without_examples_the_runs_are_what_varies() -> None:
    scores = Scores.of({f"L{i}.mlp": float(i == 3) for i in range(8)}, "effect")
    found = scores.against("random", draws=50, **FAST)
    assert found.result.method.startswith("exact")
    row = found["random"]
    assert row.estimate.n == 50 and row.estimate.low < row.estimate.value < row.estimate.high
    assert "over runs" in row.estimate.method


def test_clusters_are_drawn_whole() -> None:
    values = np.repeat(np.random.default_rng(0).normal(1, 1, 6), 10)
    scores = Scores.over_examples(["L0.mlp", "L1.mlp"], np.stack([values, 0 * values]), "effect")
    alone = scores.against("random", **FAST)
    together = scores.against("random", clusters=[i // 10 for i in range(60)], **FAST)
    assert together.result.clusters == 6
    assert together.result.half_width > 1.8 * alone.result.half_width  # √10 in the limit of many clusters


def test_the_budget_is_shared_and_said() -> None:
    texts = ["no x" if i % 3 else "certainly x" for i in range(20)]
    value = nearest_mean(None, Texts(tuple(texts), tuple(i % 3 == 0 for i in range(20))))
    found = value.against("shuffled_labels", "majority", budget=0.0, **FAST)
    assert [row.name for row in found.rows] == ["majority"]  # what takes no run of the method is always made
    assert found.skipped[0][0] == "shuffled_labels" and "more than the controls' time of 0 s" in found.skipped[0][1]
    assert "no control shuffled_labels" in caveats_in(found.caveats())[-1]
    assert len(value.against("shuffled_labels", "majority", budget=60.0, **FAST).rows) == 2


def test_there_and_back() -> None:
    found = localise(None, 20).against("random", "other_layer", **FAST)
    again = Comparison.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found and str(again) == str(found)
    assert str(found).splitlines()[1].split()[0] == "result"


def test_what_can_not_be_made_is_an_error_when_named_and_a_note_when_not() -> None:
    scores = localise(None, 20)
    with pytest.raises(SettingsError, match="No control bag_of_words: data of type int have no texts"):
        scores.against("bag_of_words")
    with pytest.raises(SettingsError, match=r"no control 'randm'\. Nearest: random"):
        scores.against("randm")
    with pytest.raises(SettingsError, match="'draw' can't be said here"):
        scores.against("random", draw=3)  # type: ignore[call-arg]
    found = scores.against(**FAST)  # localisation: random, other_layer, untrained
    assert [row.name for row in found.rows] == ["random", "other_layer"]
    assert found.skipped[0][0] == "untrained" and "not called with a model of assay" in found.skipped[0][1]
    with pytest.raises(SettingsError, match="untrained is not in this comparison: localise was not"):
        found["untrained"]
    with pytest.raises(SettingsError, match="only what a registered method returned"):
        Scores.of({"L0.mlp": 1.0}, "effect").against("untrained")


def test_packages_add_their_own() -> None:
    @control("tenth", "a tenth of the number")
    def tenth(asking: object, seed: int) -> object:
        return asking.measure(chosen=[0])  # type: ignore[attr-defined]

    try:
        assert find_control("tenth").what == "a tenth of the number"
        assert localise(None, 20).against("tenth", **FAST)["tenth"].standing == "ahead"
    finally:
        del _CONTROLS["tenth"]
