"""Controls of what reads directions: the direction is learned again under them, and words learn from the same prompts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.directions.planted import labelled_pairs, planted_model

from assay.core.calls import recall
from assay.core.caveats import caveats_in
from assay.directions import calibrate, monitor, probe, read_directions
from assay.stats.controls import DEFAULTS
from assay.stats.controls.learned import first_learned, seconds_of

FAST = {"resamples": 200}
MODEL, _ = planted_model()
TRAIN, TEST = labelled_pairs(n=30), labelled_pairs("test", n=30)


def test_a_reading_stands_out_from_what_was_learned_otherwise() -> None:
    found = read_directions(MODEL, TEST, directions=probe(MODEL, TRAIN, pos="subject"))
    beside = found.against(**FAST)
    assert {row.name for row in beside.rows} == set(DEFAULTS["representation"])
    for name in ("majority", "shuffled_labels", "random_direction"):
        assert beside[name].standing == "ahead", str(beside)
    # the words of these prompts were never seen with a label: no rival, though within one set they tell everything
    assert beside["bag_of_words"].standing == "ahead" and beside["bag_of_words"].estimate.value < 0.75
    assert beside.result.value > 0.9


def test_words_that_both_sets_share_come_as_far_and_are_a_caveat() -> None:
    again = labelled_pairs(n=30, seed=5)  # other prompts with the same ten words of each label
    found = read_directions(MODEL, again, directions=probe(MODEL, TRAIN, pos="subject"))
    beside = found.against("bag_of_words", **FAST)
    assert beside["bag_of_words"].standing != "ahead" and beside["bag_of_words"].estimate.value > 0.9
    assert any("bag_of_words" in each for each in caveats_in(beside.caveats()))


def test_untrained_weights_get_probes_of_their_own() -> None:
    """At the token that differs an untrained embedding tells ten known words apart as well; not words that it never saw."""
    directions = probe(MODEL, TRAIN, pos="subject", site="L0.resid_pre")
    known = read_directions(MODEL, labelled_pairs(n=30, seed=5), directions=directions).against("untrained", **FAST)
    new = read_directions(MODEL, TEST, directions=directions).against("untrained", **FAST)
    assert known["untrained"].estimate.value > 0.9 and new["untrained"].estimate.value < 0.75


def test_a_monitor_is_learned_again_from_the_first_step_on() -> None:
    directions = probe(MODEL, TRAIN, pos="subject")
    chosen = calibrate(MODEL, labelled_pairs("validation"), directions=directions)
    watched = monitor(MODEL, TEST, directions=chosen)
    beside = watched.against(**FAST)
    made = {row.name for row in beside.rows}
    assert made == {"constant", "majority", "bag_of_words", "ngram", "shuffled_labels"}
    assert dict(beside.skipped).keys() == {"prompt_only"}  # token ids can't be asked in words
    assert beside["shuffled_labels"].standing == "ahead" and beside.result.value > 0.9
    call = recall(watched)
    assert call is not None
    first = first_learned(call)
    assert first is not None and first.name == "probe" and seconds_of(call) > call.seconds + first.seconds


def test_a_probe_itself_has_controls() -> None:
    found = probe(MODEL, TRAIN, pos="subject")
    beside = found.against("majority", "shuffled_labels", "other_layer", **FAST)
    assert beside["majority"].standing == "ahead" and beside["shuffled_labels"].standing == "ahead"
    assert found.per_example is not None
    assert beside.result.value == pytest.approx(np.max(found.per_example.mean(1)))
