"""Calibrated directions: thresholds keep their rate, readings are log odds, and a shift shows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.directions.planted import labelled_pairs, planted_model

from assay.core.caveats import caveats_in
from assay.core.errors import SettingsError
from assay.directions import calibrate, monitor, output_direction, probe
from assay.directions.activations import activations
from assay.directions.calibrate import _threshold
from assay.directions.labels import labelled_prompts

MODEL, LINE = planted_model()
FOUND = probe(MODEL, labelled_pairs(n=30), pos="subject")


def test_a_threshold_keeps_its_rate_on_new_examples() -> None:
    """Exchangeable readings: the expected rate is k/(m+1), here 1/20 for 19 and 2/40 for 39 of them."""
    rng = np.random.default_rng(0)
    for m in (19, 39):
        draws = rng.normal(size=(4000, m + 1))
        rate = np.mean([draw[-1] > _threshold(draw[:-1], 0.05) for draw in draws])
        assert rate == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))
    with pytest.raises(SettingsError, match="give 19 or more"):
        _threshold(np.zeros(18), 0.05)


def test_the_best_layer_is_chosen_and_reads_log_odds() -> None:
    validation = labelled_pairs("validation", n=30)
    chosen = calibrate(MODEL, validation, directions=FOUND, false_alarms=0.1)
    assert len(chosen) == 1 and chosen.names[0] in FOUND.names and chosen.per_example is not None
    before, after = FOUND[chosen.names[0]], chosen[chosen.names[0]]
    prompts = labelled_prompts(validation, pos="subject")
    values = activations(MODEL, prompts, [before.site])[0]
    x, y = before.read(values), after.read(values)
    slope, shift = np.polyfit(x, y, 1)
    assert slope > 0
    np.testing.assert_allclose(y, slope * x + shift, atol=1e-9)
    probability = 1 / (1 + np.exp(-y))
    assert probability.mean() == pytest.approx(0.5, abs=1e-3)  # 30 of each label: their smoothed targets sum to half
    assert (y[prompts.y == 0] > after.threshold).mean() <= 0.1


def test_a_monitor_catches_what_was_planted() -> None:
    chosen = calibrate(MODEL, labelled_pairs("validation", n=30), directions=FOUND)
    watched = monitor(MODEL, labelled_pairs("test", n=30), directions=chosen)
    value = {name: float(watched[name].mean()) for name in watched.names}
    assert value["auroc"] > 0.97 and value["caught"] > 0.8 and value["brier"] < 0.1
    assert set(watched["auroc_by_wording"]["wording"].values) == {"test-0", "test-1", "test-2"}


def test_without_a_signal_it_says_so() -> None:
    found = probe(MODEL, labelled_pairs(n=30, told=False), pos="subject", site="L0.resid_post")
    chosen = calibrate(MODEL, labelled_pairs("validation", n=30), directions=found.with_vector(-FOUND.vectors[:1]))
    assert any("no direction tells" in each for each in caveats_in(chosen.facts))
    watched = monitor(MODEL, labelled_pairs("test", n=30), directions=chosen)
    assert any("no better than chance" in each for each in caveats_in(watched.provenance.facts))


def test_a_monitor_is_one_direction() -> None:
    with pytest.raises(SettingsError, match="one direction of two labels"):
        monitor(MODEL, labelled_pairs("test"), directions=FOUND)


def test_the_models_own_answer_is_a_direction() -> None:
    """Its reading is the logit of one answer minus the other's, as the model itself gives them."""
    pairs = labelled_pairs(n=6)
    answered = tuple(
        each.model_copy(update={"answers": (9 if each.label else 5,), "corrupt_answers": (5 if each.label else 9,)})
        for each in pairs
    )
    asked = type(pairs)(answered).align(None)
    found = output_direction(MODEL, asked)
    prompts = labelled_prompts(asked)
    read = found["final_norm"].read(activations(MODEL, prompts, ["final_norm"])[0])
    logits = MODEL.run([list(each) for each in prompts.tokens]).logits[:, -1]
    np.testing.assert_allclose(read, (logits[:, 9] - logits[:, 5]).numpy(), atol=1e-9)
