"""Steering: strength 0 is nothing, a planted direction does what arithmetic says, controls are what they claim to be."""

from __future__ import annotations

import numpy as np
import pytest
from tests.directions.steering.planted import LAST, MODEL, NO, YES, by_hand, two_sided, unembedding_direction

from assay.core.errors import SettingsError
from assay.directions.steering import ablate_direction, choose_strength, mean_difference, steer
from assay.directions.steering.arms import at_random
from assay.engine.model import Model
from assay.experiments import edit, metric

PAIRS = two_sided(mixed=True)
GRID = (0.0, 0.5, 1.0)
HERE = {"at": "end", "text": None}
RESIDUAL = MODEL.run(two_sided().corrupt_tokens, capture=LAST)[LAST][:, -1]


def test_nothing_added_changes_nothing() -> None:
    found = steer(
        MODEL, PAIRS, direction=mean_difference(MODEL, PAIRS, at="end", towards=str(YES)), strengths=GRID, **HERE
    )
    for name in ("effect", "effect_opposite", "effect_random", "kl", "kl_random"):
        assert (found[name].sel(strength=0) == 0).all(), name  # exactly: no pass is made
        assert (found[name].sel(strength=1) != 0).all(), name


def test_a_planted_direction_does_what_arithmetic_says() -> None:
    planted = unembedding_direction()
    vector = planted[LAST].vector
    found = steer(MODEL, PAIRS, direction=planted, strengths=(0.25, 0.5, 1.0, 2.0), unit="vector", **HERE)
    before = by_hand(RESIDUAL, 0 * vector)
    for strength in found.data["strength"].values:
        expected = by_hand(RESIDUAL, strength * vector) - before
        np.testing.assert_allclose(
            found["effect"].sel(strength=strength)[0], expected, atol=1e-9
        )  # other batches round
        expected = by_hand(RESIDUAL, -strength * vector) - before
        np.testing.assert_allclose(found["effect_opposite"].sel(strength=strength)[0], expected, atol=1e-9)
    assert (np.diff(found["effect"][0], axis=0) > 0).all()
    np.testing.assert_allclose(found["unsteered"], before, atol=1e-9)


def test_strengths_are_shares_of_the_sites_mean_length() -> None:
    found = steer(MODEL, PAIRS, direction=unembedding_direction(), strengths=(0.25, 1.0), random_directions=0, **HERE)
    length = RESIDUAL.norm(dim=-1).mean().item()
    np.testing.assert_allclose(
        found["added"][0], [0.25 * length, length], rtol=1e-6
    )  # norms are read in single precision
    np.testing.assert_allclose(found["added_share"][0], [0.25, 1.0], rtol=1e-6)


def test_units_and_random_directions() -> None:
    planted = unembedding_direction()
    found = steer(MODEL, PAIRS, direction=planted, strengths=(0.7,), unit="vector", random_directions=3, **HERE)
    assert found["added"].item() == pytest.approx(0.7 * np.linalg.norm(planted.vectors))
    for draw in range(3):
        drawn = at_random(planted, draw)
        assert np.linalg.norm(drawn.vectors) == pytest.approx(np.linalg.norm(planted.vectors))
        alone = steer(MODEL, PAIRS, direction=drawn, strengths=(0.7,), unit="vector", random_directions=0, **HERE)
        np.testing.assert_allclose(found["effect_random"].sel(draw=f"random {draw}"), alone["effect"], atol=1e-12)
        assert "effect_random" not in alone


def test_controls_come_by_themselves() -> None:
    found = steer(MODEL, PAIRS, direction=unembedding_direction(), strengths=(0.5,), **HERE)
    beside = found.against(resamples=200)
    assert [row.name for row in beside.rows] == ["random_direction", "wrong_sign"]
    assert beside["wrong_sign"].estimate.value == pytest.approx(float(found["effect_opposite"].mean()))
    assert beside["random_direction"].runs == 2 and beside.stands_out
    assert dict(beside.skipped)["prompt_only"] == "the method was asked not to measure it"


def test_the_strength_is_chosen_by_effect_at_a_limited_cost() -> None:
    planted = unembedding_direction()
    grid = steer(MODEL, PAIRS, direction=planted, strengths=(0.5, 1.0, 2.0), **HERE).data.mean("example")
    costs = grid["kl"].values[0]
    assert (np.diff(costs) > 0).all()
    for most, expected in ((costs[2] + 1, 2.0), ((costs[1] + costs[2]) / 2, 1.0), ((costs[0] + costs[1]) / 2, 0.5)):
        chosen = choose_strength(MODEL, PAIRS, direction=planted, strengths=(0.5, 1.0, 2.0), most_kl=most, **HERE)
        again = steer(MODEL, PAIRS, direction=chosen, strengths=(1.0,), unit="vector", **HERE)
        np.testing.assert_allclose(again["effect"].mean(), grid["effect"].sel(strength=expected).item(), atol=1e-9)
        assert f"at strength {expected:g}" in chosen.facts[-1]
    cheap = choose_strength(MODEL, PAIRS, direction=planted, strengths=(0.5, 1.0), most_kl=costs[0] / 2, **HERE)
    assert any("the cheapest is taken" in fact for fact in cheap.facts) and "at strength 0.5" in cheap.facts[-1]
    against = planted.with_vector(-planted.vectors)
    told = choose_strength(MODEL, PAIRS, direction=against, strengths=(0.5,), most_kl=9.0, **HERE)
    assert any("does not steer these prompts" in fact for fact in told.facts)


def test_taking_a_direction_out_leaves_no_reading_and_does_nothing_twice() -> None:
    vector = mean_difference(MODEL, PAIRS, at="end", towards=str(YES))["L1.resid_post"].vector
    once, read = edit.project_out("L1.resid_post", vector), metric.dot("L1.resid_post", vector, pos=None)
    tokens = PAIRS.clean_tokens
    after = MODEL.run(tokens, edits=once, metrics=read, capture="L1.resid_post")
    np.testing.assert_allclose(after.metrics["dot"], 0, atol=1e-5)  # the metric is read in single precision
    np.testing.assert_allclose(after["L1.resid_post"].numpy() @ vector, 0, atol=1e-12)
    np.testing.assert_allclose(MODEL.run(tokens, edits=[once, once]).logits, after.logits, atol=1e-12)


def test_what_is_lost_when_the_answers_own_direction_is_taken_out() -> None:
    found = ablate_direction(MODEL, PAIRS, direction=unembedding_direction(), at="end", random_directions=2, text=None)
    np.testing.assert_allclose(found["lost"][0], found["unedited"], atol=1e-6)  # the norm has no gain: nothing is left
    np.testing.assert_allclose(found["lost_other"][0], -found["unedited_other"], atol=1e-6)
    assert (np.abs(found["lost_random"]).mean("example") < 0.7 * np.abs(found["lost"]).mean("example")).all()
    beside = found.against(resamples=200)
    assert [row.name for row in beside.rows] == ["random_direction"] and len(beside.skipped) == 3


def test_unrelated_text_and_words_need_a_tokenizer(worded: Model) -> None:
    from assay.data import task
    from assay.directions.steering import UnrelatedText

    text = UnrelatedText(tokens=6)
    pairs = task("sentiment", n=5, split="test", tokenizer=worded)
    vector = mean_difference(worded, pairs, at="end", towards="positive", layers=(1,))
    asked = {"direction": vector, "strengths": (0.0, 0.5), "at": {"start": 1}}
    found = steer(worded, pairs, text=text, instruction="great film", **asked)
    for name in ("text_kl", "text_loss", "text_kl_random", "text_loss_opposite"):
        assert (found[name].sel(strength=0) == 0).all(), name
        assert (found[name].sel(strength=0.5) != 0).any(), name
    assert (found["text_kl"].sel(strength=0.5) > 0).all()
    assert found["effect_prompt"].shape == found["text_loss_prompt"].shape == (5,)
    assert [row.name for row in found.against(resamples=200).rows] == ["random_direction", "wrong_sign", "prompt_only"]
    again = steer(worded, pairs, text=text, **asked)
    assert [f for f in again.provenance.facts if f.startswith("unrelated")] == [
        f for f in found.provenance.facts if f.startswith("unrelated")
    ]
    with pytest.raises(SettingsError, match="no tokenizer, so there is no text for it: say text=None"):
        steer(MODEL, PAIRS, direction=unembedding_direction(), strengths=(1.0,), at="end")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"strengths": ()}, "at least one, each once"), ({"strengths": (1.0, 1.0)}, "at least one, each once")],
)
def test_strengths_that_make_no_sense(settings: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        steer(MODEL, PAIRS, direction=unembedding_direction(), **settings, **HERE)
    with pytest.raises(SettingsError, match="all above 0"):
        choose_strength(MODEL, PAIRS, direction=unembedding_direction(), strengths=(-1.0,), most_kl=1.0, **HERE)
    nothing = unembedding_direction().with_vector(np.zeros(32))
    with pytest.raises(SettingsError, match="has length 0"):
        steer(MODEL, PAIRS, direction=nothing, strengths=(1.0,), **HERE)
    assert NO != YES
