"""The smallest circuit, chosen on some prompts and judged on others, in models whose circuit is known."""

from __future__ import annotations

import numpy as np
import pytest

from assay.circuits import Graph, edge_patching, estimate_error, judge_circuit, smallest_circuit
from assay.circuits.ranking import rank
from assay.circuits.smallest import first_for_good, of_size
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.training.planted import Situation, situation

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}


@pytest.fixture(scope="module")
def planted() -> Situation:
    return situation("negative head", n=12)


@pytest.fixture(scope="module")
def exact(planted: Situation) -> Scores:
    return edge_patching(planted.model, planted.pairs[:4], **HOW)  # type: ignore[arg-type]


def test_the_smallest_circuit_is_the_true_one() -> None:
    """Three heads that are all needed: nothing less recovers anything."""
    made = situation("all or nothing", n=12)
    scores = edge_patching(made.model, made.pairs[:4], **HOW)  # type: ignore[arg-type]
    fractions = tuple(k / len(scores) for k in range(1, 16))
    found = smallest_circuit(made.model, made.pairs[4:8], scores=scores, fractions=fractions, **HOW)  # type: ignore[arg-type]
    assert set(found.components) == made.truth("counterfactual").edges
    assert found[found.components[0]] == scores[found.components[0]]
    coarse = smallest_circuit(made.model, made.pairs[4:8], scores=scores, fractions=(0.05, 0.9), **HOW)  # type: ignore[arg-type]
    told = next(fact for fact in coarse.facts if fact.startswith("tried: "))
    tried = told.removeprefix("tried: ").split(", ")
    assert len(tried) == 4 and len(found) <= len(coarse) < 0.9 * len(scores)


def test_for_good_means_that_larger_ones_do_too(planted: Situation, exact: Scores) -> None:
    """Without the negative head more is recovered than the whole model has, but all larger circuits do as well."""
    signed = smallest_circuit(
        planted.model, planted.pairs[4:8], scores=exact, keep=0.9, absolute=False,
        fractions=(0.05, 0.1, 0.2, 0.5, 1), **HOW,  # type: ignore[arg-type]
    )  # fmt: skip
    assert any(fact.startswith("caveat: some circuit recovers more") for fact in signed.facts)


def test_a_lucky_small_circuit_does_not_count() -> None:
    """A size that recovers enough, before a larger one that does not, is no smallest circuit."""
    mask = np.zeros((1, 1), dtype=bool)
    tried = {size: (share, mask) for size, share in {1: 0.95, 10: 0.5, 100: 0.92, 1000: 1.0}.items()}
    assert first_for_good(tried, 0.9) == 100
    assert first_for_good({1: (0.2, mask), 10: (0.3, mask)}, 0.9) == 10


def test_when_nothing_is_enough_it_says_so(planted: Situation, exact: Scores) -> None:
    found = smallest_circuit(planted.model, planted.pairs[4:6], scores=exact, keep=5, fractions=(0.3,), **HOW)  # type: ignore[arg-type]
    assert found.facts[0] == "caveat: no circuit that was tried recovers 5: the largest is given"
    empty = Scores.of({"embed->L1.H2.q": 1.0, "L1.H0->logits": 0.5}, "odd")
    with pytest.raises(DataError, match="no edges left after pruning"):
        smallest_circuit(planted.model, planted.pairs[4:6], scores=empty, fractions=(0.5,), **HOW)  # type: ignore[arg-type]


def test_a_circuit_is_judged_beside_others_of_its_size(planted: Situation, exact: Scores) -> None:
    true = planted.truth("counterfactual").edges
    chosen = Scores.of({edge: exact[edge] for edge in sorted(true)}, exact.quantity)
    noise = Scores(exact.components, np.random.default_rng(0).random(len(exact)), "random")
    found = judge_circuit(planted.model, planted.pairs[8:], chosen=chosen, rival=exact, baseline=noise, **HOW)  # type: ignore[arg-type]
    value = found["recovered"].sel(bound="value")
    assert float(value.sel(circuit="found")) == pytest.approx(1, abs=0.02)
    assert float(found["size"]) == len(true) and (found["edges"] >= len(true)).all()
    assert float(found["shared"].sel(circuit="found")) == 1 > float(found["shared"].sel(circuit="random 0"))
    assert float(found["shared"].sel(circuit="rival")) > 0.7  # exact scores: the same, but for edges that tie
    assert bool((found["recovered"].sel(bound="low") <= value + 1e-9).all())


def test_a_circuit_of_a_size_has_at_least_that_many_edges(planted: Situation, exact: Scores) -> None:
    ranking = rank(Graph.of(planted.model), exact, absolute=True)
    for edges in (1, 4, 9, 20):
        size = int(of_size(ranking, edges).sum())
        assert size >= edges
    assert int(of_size(ranking, 10**6).sum()) == int(ranking.circuit(len(ranking)).sum())


def test_the_error_of_estimates(planted: Situation, exact: Scores) -> None:
    found = estimate_error(planted.model, planted.pairs, approximate=exact, exact=exact, at=(3,))
    assert float(found["spearman"].sel(bound="value")) == pytest.approx(1)
    assert float(found["recall"].sel(k=3, bound="value")) == 1
    assert np.array_equal(found["approximate"], found["exact"])
    turned = Scores(exact.components, -exact.values, "turned")
    against = estimate_error(planted.model, planted.pairs, approximate=turned, exact=exact, at=(3,))
    assert float(against["spearman"].sel(bound="high")) < 0
    sizes = estimate_error(planted.model, planted.pairs, approximate=turned, exact=exact, absolute=True, at=(3,))
    assert float(sizes["spearman"].sel(bound="value")) == pytest.approx(1)
