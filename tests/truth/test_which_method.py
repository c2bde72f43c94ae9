"""The page is what was measured, what it says holds in every seed, and a small part of it is measured again here."""

from __future__ import annotations

from functools import cache

import pytest
from tests.truth import record
from tests.truth.contestants import LEVELS, scored
from tests.truth.stories import STORIES, N
from tests.truth.which_method import COMMAND, PAGE, SITUATIONS, page

from assay.training.planted import Situation, situation
from assay.training.planted.induction import GAINS

CLOSE = 2e-3
"""Metrics are kept in single precision, and the record has four digits."""


@cache
def made(name: str) -> Situation:
    return situation(name, seed=0, n=N)


def every_seed(story: str, key: str) -> list[float]:
    return [numbers[key] for numbers in record.recorded()["stories"][story].values()]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(record.recorded()), f"run {COMMAND} --page"


def test_everything_was_measured() -> None:
    known = record.recorded()
    assert all(len(seeds) == len(record.SEEDS) for seeds in known["stories"].values())
    assert set(known["stories"]) == set(STORIES)
    left = [(name, seed) for name in SITUATIONS for seed in record.SEEDS if record.missing(known, name, seed)]
    assert not left, f"run {COMMAND}"
    assert set(known["scores"]) == set(SITUATIONS), "the record has situations that there are no more"
    methods = {(level, method) for cells in known["scores"].values() for level in cells for method in cells[level]}
    assert methods == {(level, method) for level in LEVELS for method in LEVELS[level]}


# -- what the page says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", GAINS)
def test_eap_loses_query_and_key_edges_as_attention_saturates_and_integrated_gradients_do_not(gain: float) -> None:
    for seed in every_seed("saturation", f"EAP, gain {gain:g}: found"):
        assert seed == (2 if gain < 10 else 0)
    for method in ("EAP-IG, 8 steps", "EAP-IG, 64 steps", "exact"):
        assert every_seed("saturation", f"{method}, gain {gain:g}: found") == [2, 2, 2]
    assert min(every_seed("saturation", f"EAP-IG, 64 steps, gain {gain:g}: share")) > 0.4
    for slot in "qk":
        assert every_seed("softmax", f"QK fix, {slot}, gain {gain:g}") == pytest.approx([1, 1, 1], abs=0.05)
        assert (min(every_seed("softmax", f"AtP, {slot}, gain {gain:g}")) < 1e-4) == (gain >= 10)


def test_graddrop_finds_what_cancels() -> None:
    assert min(every_seed("cancellation", "exact ablation")) > 0.7
    assert max(map(abs, every_seed("cancellation", "AtP"))) < 0.05
    assert min(every_seed("cancellation", "AtP with GradDrop")) > 0.7


def test_one_of_a_redundant_pair_is_missed_by_single_ablation_and_by_slopes() -> None:
    for key in ("one alone", "EAP of L0.H0->L0.mlp"):
        assert max(map(abs, every_seed("redundancy", key))) < 1e-5
    assert min(every_seed("redundancy", "both")) > 1.9
    for key in ("Shapley value of each", "EAP-IG of L0.H0->L0.mlp"):
        assert every_seed("redundancy", key) == pytest.approx([1, 1, 1], abs=0.15)


def test_leaving_out_a_negative_head_is_rewarded_by_cpr_and_not_by_cmd() -> None:
    out, kept = "signed: leaves it out", "by size: keeps it"
    assert min(every_seed("negative", f"{out}, CPR")) > 1.3
    assert min(every_seed("negative", "most recovered")) > 1.9
    assert max(every_seed("negative", f"{kept}, CPR")) < 1.1
    assert max(every_seed("negative", f"{kept}, CMD")) + 0.3 < min(every_seed("negative", f"{out}, CMD"))


def test_a_random_order_has_the_areas_of_mibs_random_baseline() -> None:
    assert every_seed("chance", "random, CPR") == pytest.approx([0.25] * 3, abs=0.01)
    assert every_seed("chance", "random, CMD") == pytest.approx([0.75] * 3, abs=0.01)


@pytest.mark.parametrize("name", ["reverse", "fraction of previous", "sort", "indirect object"])
def test_one_program_has_two_truths(name: str) -> None:
    assert min(every_seed("two_truths", f"{name}: zero's circuit under resample")) > 0.99
    assert max(every_seed("two_truths", f"{name}: resample's circuit under zero")) < 0.97
    assert max(every_seed("two_truths", f"{name}: resample scores, zero's truth")) < 0.95


def test_the_wrong_mean_misleads() -> None:
    right, wrong = (every_seed("wrong_mean", f"constant heads: {kind}, AUROC") for kind in ("right", "wrong"))
    assert min(right) > 0.99 and max(wrong) < 0.85
    assert every_seed("wrong_mean", "constant heads: eap, AUROC") == pytest.approx(right, abs=CLOSE)


# -- measured again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["cancellation", "redundancy", "negative", "chance", "wrong_mean"])
def test_a_story_is_told_again(story: str) -> None:
    assert dict(STORIES[story](0)) == pytest.approx(record.recorded()["stories"][story]["0"], abs=CLOSE, rel=CLOSE)


@pytest.mark.parametrize("method", ["EAP", "EAP-IG, inputs", "exact edge patching", "ACDC", "information flow"])
@pytest.mark.parametrize("name", ["induction, gain 3", "induction, gain 10", "negative head", "sort"])
def test_scores_of_edges_again(name: str, method: str) -> None:
    again = record.measure(made(name), "edges", method, 0)
    assert again == pytest.approx(record.recorded()["scores"][name]["edges"][method]["0"], abs=CLOSE)


@pytest.mark.parametrize("level", ["nodes", "readers"])
@pytest.mark.parametrize("name", ["induction, gain 10", "backup head", "indirect object"])
def test_scores_of_nodes_again(name: str, level: str) -> None:
    for method in LEVELS[level]:
        again = record.measure(made(name), level, method, 0)
        assert again == pytest.approx(record.recorded()["scores"][name][level][method]["0"], abs=CLOSE), method


def test_under_zero_ablation_too() -> None:
    """Edge methods on a truth that they are not scored against in the table."""
    planted = made("sort")
    truth = planted.truth("zero").edges
    found = [
        scored(LEVELS["edges"][name](planted, "zero", 0), truth).auroc for name in ("exact edge patching", "random")
    ]
    assert found[0] == 1 > found[1]
