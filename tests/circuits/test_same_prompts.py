"""A circuit that is measured on prompts which it was found on says so, wherever it has been in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2

from assay.circuits import (
    acdc,
    activation_norms,
    choose_circuit,
    circuit_completeness,
    circuit_curves,
    evaluate_circuit,
    judge_circuit,
    smallest_circuit,
)
from assay.circuits.circuit import Circuit
from assay.circuits.edge_attribution import eap
from assay.circuits.same_prompts import made_on, overlap, prompt_ids
from assay.core.caveats import caveats_in
from assay.data.pairs import Pairs

ASKED = {"ablation": "counterfactual", "metric": "logit_diff"}


def found(pairs: Pairs) -> Circuit:
    model = tiny_gpt2()
    scores = activation_norms(model, pairs, granularity="head")
    return choose_circuit(model, pairs, scores=scores, fraction=0.5, absolute=True)


def seen(result) -> list[str]:
    return [text for text in caveats_in(result.provenance.facts) if "looks better than it is" in text]


def test_the_same_prompts_are_a_caveat_and_others_are_not(tmp_path: Path) -> None:
    model, own, other = tiny_gpt2(), pairs_of_ids(6, seed=1), pairs_of_ids(6, seed=2)
    circuit = Circuit.load(found(own).save(tmp_path / "circuit.json"))
    assert circuit.found_on == prompt_ids(own) and len(circuit.found_on) == 6
    assert not seen(evaluate_circuit(model, other, circuit=circuit, random_circuits=0, **ASKED))
    mixed = Pairs((*own.examples[:2], *other.examples[:3])).align(None)
    (text,) = seen(evaluate_circuit(model, mixed, circuit=circuit, random_circuits=0, **ASKED))
    assert "found on 2 of these 5 prompts" in text
    (text,) = seen(circuit_completeness(model, own, circuit=circuit, random_sets=0, greedy_steps=0, **ASKED))
    assert "6 of these 6" in text


def test_it_comes_first_so_that_nobody_overlooks_it() -> None:
    own = pairs_of_ids(3, seed=1)
    result = evaluate_circuit(tiny_gpt2(), own, circuit=found(own), random_circuits=0, **ASKED)
    assert "looks better than it is" in caveats_in(result.provenance.facts)[0]


def test_scores_remember_their_prompts_in_this_process() -> None:
    model, own, other = tiny_gpt2(), pairs_of_ids(4, seed=1), pairs_of_ids(4, seed=2)
    scores = eap(model, own, check=0, **ASKED)
    assert made_on(scores) == prompt_ids(own) and made_on(replace(scores, facts=())) == ()
    few = {"fractions": (0.1, 1.0)}
    for pairs, said in ((own, 1), (other, 0)):
        assert len(seen(circuit_curves(model, pairs, scores=scores, random_circuits=0, **few, **ASKED))) == said
        small = smallest_circuit(model, pairs, scores=scores, **few, **ASKED)
        assert len([text for text in caveats_in(small.facts) if "were made on 4 of these 4" in text]) == said
        judged = judge_circuit(model, other, chosen=small, rival=scores, baseline=scores, random_circuits=0, **ASKED)
        assert len(seen(judged)) == 1 - said  # its size was chosen on them


def test_acdc_and_circuits_of_scores_know_theirs_and_old_files_say_nothing() -> None:
    model, own = tiny_gpt2(), pairs_of_ids(2, seed=1)
    made = acdc(model, own, tau=1e6, grouped=True, **ASKED)
    assert made.found_on == prompt_ids(own)
    best = Circuit.of_scores(made.graph, eap(model, own, check=0, **ASKED), size=5, absolute=True)
    assert best.found_on == prompt_ids(own)
    old = {name: value for name, value in best.to_json().items() if name != "found_on"}
    assert Circuit.from_json(old).found_on == () and overlap((), own) == []


@pytest.mark.parametrize("same", [True, False])
def test_hashes_are_of_the_prompt_and_not_of_its_answer(same: bool) -> None:
    first = pairs_of_ids(1, seed=1)
    changed = first[0].model_copy(update={"answers": (5,)} if same else {"clean": (1, *first[0].clean[1:])})
    assert bool(overlap(prompt_ids(first), Pairs((changed,)))) == same
