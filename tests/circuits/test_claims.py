"""Results of circuit methods beside their controls: which number is meant, which controls are inside, which make no sense."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.stats.controls.planted import CARD, registered_for_the_test
from tests.tiny_pairs import pairs_of_ids, tiny_llama

import assay.circuits  # noqa: F401 (registers its methods)
from assay.circuits import activation_norms, judge_circuit, keep_set, patch_heads, smallest_heads
from assay.circuits import claims as declared
from assay.circuits.edge_attribution import eap
from assay.core.caveats import caveats_in
from assay.core.claims import Claim
from assay.core.errors import SettingsError
from assay.core.protocols import Scores
from assay.core.registry import Method, method, methods
from assay.core.result import Result
from assay.stats.controls import DEFAULTS
from assay.stats.controls.comparison import against

FAST = {"resamples": 100}


def circuit_methods() -> list[Method]:
    return [each for each in methods().values() if each.function.__module__.startswith("assay.circuits.")]


def test_every_method_that_gives_a_result_says_what_it_claims_or_why_it_does_not() -> None:
    silent = [each.name for each in circuit_methods() if each.card.gives is Result and not said(each)]
    assert not silent
    chosen = [each for each in circuit_methods() if each.card.gives is Scores and Scores in each.takes.values()]
    assert {each.name for each in chosen} >= {"smallest_circuit", "smallest_heads", "average_scores"}
    assert not [each.name for each in chosen if not said(each)]


def said(each: Method) -> bool:
    return (each.card.claim in DEFAULTS) != bool(each.card.unclaimed)


def test_a_chosen_set_stands_beside_the_random_sets_in_its_result() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(6)
    every = patch_heads(model, pairs, direction="noise")
    best = every.only(r"L1\..*")
    found = keep_set(model, pairs, chosen=best, scores=every, rival=every, ablation="counterfactual", random_sets=3)
    beside = against(found, budget=0.0, **FAST)
    assert beside.result.value == pytest.approx(float(found["kept"].sel(ranking="found").mean()))
    assert beside["random"].estimate.value == pytest.approx(float(found["kept_random"].mean()))
    assert beside["random"].runs == 3 and "ranking found" in beside.quantity
    left_out = dict(beside.skipped)
    assert "no counterpart" in left_out["other_layer"] and "more than the controls' time" in left_out["untrained"]
    assert any("no counterpart" in text for text in caveats_in(beside.caveats()))


def test_a_judged_circuit_stands_beside_random_circuits_and_an_untrained_network() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(4)
    edges = eap(model, pairs, ablation="counterfactual", metric="logit_diff", check=0)
    settings = {"ablation": "counterfactual", "metric": "logit_diff", "random_circuits": 2}
    few = Scores.of({name: edges[name] for name in edges.top(60)}, edges.quantity)
    found = judge_circuit(model, pairs, chosen=few, rival=edges, baseline=edges, **settings)
    beside = against(found, **FAST)
    random = [name for name in found.data["circuit"].values if str(name).startswith("random")]
    assert beside["random"].estimate.value == pytest.approx(float(found["kept"].sel(circuit=random).mean()))
    assert {row.name for row in beside.rows} == {"random", "untrained"}


def test_what_was_not_measured_is_not_made_up() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(3)
    every = patch_heads(model, pairs, direction="noise")
    found = keep_set(model, pairs, chosen=every, scores=every, rival=every, ablation="zero", random_sets=0)
    with pytest.raises(SettingsError, match="No control random_component: the method was asked for none of them"):
        against(found, "random_component", **FAST)
    with pytest.raises(SettingsError, match="no counterpart in another layer"):
        against(found, "other_layer", **FAST)


def test_baselines_and_choices_claim_nothing() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(3)
    with pytest.raises(SettingsError, match=r"\(it is a baseline: .*\): name them"):
        activation_norms(model, pairs, granularity="head").against(**FAST)
    every = patch_heads(model, pairs, direction="noise")
    few = smallest_heads(model, pairs, scores=every, ablation="zero", at_most=1.0)
    with pytest.raises(SettingsError, match="chooses by scores that others made"):
        few.against(**FAST)


def test_the_mean_of_all_cells_is_meant_where_the_claim_says_so() -> None:
    values = np.array([[[0.0], [4.0]], [[1.0], [1.0]], [[3.0], [3.0]]])
    table = xr.Dataset(
        {"kept": (("ranking", "fraction", "example"), np.repeat(values, 5, axis=2))},
        coords={"ranking": ["absolute", "random 0", "random 1"], "fraction": [0.1, 0.2]},
    )
    with registered_for_the_test():

        @method(gives=Result, **CARD, claim=declared.CURVE)
        def curve(model: object, data: object) -> Result:
            """A curve."""
            return Result(table)

        found = against(curve(None, None), "random", **FAST)
    assert found.result.value == 2 and found["random"].estimate.value == 2  # means of (0, 4), and of 1, 1, 3, 3
    assert "mean of all 2" in found.quantity
    assert isinstance(declared.CURVE, Claim)
