"""Would other examples, or another method, have given the same circuit?"""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2

from assay.circuits.evaluation.stability import circuit_stability, jaccard, scores_agreement, spearman, stability_of
from assay.circuits.graph import Graph
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.data.pairs import Pairs

MODEL = tiny_gpt2()
GRAPH = Graph.of(MODEL)
PAIRS = pairs_of_ids(6)
SHARE = sum(name.endswith("->logits") or name.startswith("embed") for name in GRAPH.edges) / GRAPH.edge_count


def noisy(noise: float, n: int = 20) -> Scores:
    """Edges into values and from there to the logits have score 1, the others 0; each example adds its own noise."""
    rng = np.random.default_rng(0)
    truth = np.array([name.endswith("->logits") or name.startswith("embed") for name in GRAPH.edges], dtype=float)
    rows = truth[:, None] + noise * rng.normal(size=(GRAPH.edge_count, n))
    return Scores.over_examples(GRAPH.edges, rows, "noisy")


def test_scores_without_noise_give_the_same_circuit_each_time() -> None:
    found = circuit_stability(MODEL, PAIRS, scores=noisy(0.01), fraction=SHARE, draws=6)
    assert found["jaccard"].min() == 1 and found["to_found"].min() == 1
    assert found["chance"].mean() < 0.5


def test_noise_makes_circuits_as_alike_as_chance() -> None:
    steady, shaky, lost = (
        float(circuit_stability(MODEL, PAIRS, scores=noisy(noise), fraction=SHARE, draws=6)["jaccard"].mean())
        for noise in (0.5, 3.0, 100.0)
    )
    assert steady > shaky > lost


def test_stability_of_a_method_that_is_run_again() -> None:
    calls: list[int] = []

    def find(pairs: Pairs) -> Scores:
        calls.append(len(pairs))
        return noisy(0.01)

    found = stability_of(find, PAIRS, graph=GRAPH, fraction=SHARE, draws=4)
    assert calls == [6] * 5 and found["jaccard"].min() == 1 and found["jaccard"].size == 6


def test_agreement_with_itself_and_with_its_opposite() -> None:
    rng = np.random.default_rng(1)
    first = Scores(GRAPH.edges, rng.normal(size=GRAPH.edge_count), "first")
    shuffled = Scores(first.components[::-1], first.values[::-1], "the same in another order")
    same = scores_agreement(MODEL, PAIRS, first=first, second=shuffled, fractions=(0.1, 0.5))
    assert same["jaccard"].min() == 1 and float(same["rank_correlation"]) == pytest.approx(1)
    opposite = Scores(first.components, -first.values, "opposite")
    turned = scores_agreement(MODEL, PAIRS, first=first, second=opposite, fractions=(0.1, 0.3), absolute=False)
    assert float(turned["rank_correlation"]) == pytest.approx(-1) and float(turned["jaccard"][0]) < 0.2


def test_small_sums() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, True])
    assert jaccard(a, b) == pytest.approx(1 / 3) and jaccard(a & False, b & False) == 1
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_what_can_not_be_compared_is_refused() -> None:
    bare = Scores(GRAPH.edges, np.ones(GRAPH.edge_count), "bare")
    with pytest.raises(DataError, match="kept no values for each example"):
        circuit_stability(MODEL, PAIRS, scores=bare)
    with pytest.raises(DataError, match="1 are in one only, such as"):
        scores_agreement(MODEL, PAIRS, first=bare, second=Scores(bare.components[1:], bare.values[1:], "less"))
    with pytest.raises(DataError, match="at least two draws"):
        circuit_stability(MODEL, PAIRS, scores=noisy(1), draws=1)
