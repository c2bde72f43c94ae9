"""From scores to circuits: the order, the cut, and what is pruned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.circuits.graph import Graph
from assay.circuits.ranking import rank
from assay.core.errors import DataError
from assay.core.protocols import Scores

SMALL = Graph.sequential(layers=2, heads=2)


def scored(graph: Graph, values: np.ndarray) -> Scores:
    return Scores(graph.edges, values, "test")


def with_edges(**special: float) -> Scores:
    """All edges at 0 but some: `L0.H0->logits` is written L0_H0__logits."""
    values = dict.fromkeys(SMALL.edges, 0.0)
    values |= {name.replace("__", "->").replace("_", "."): value for name, value in special.items()}
    return Scores.of(values, "test")


def test_the_best_edges_that_hang_together_stay() -> None:
    scores = with_edges(embed__L0_H0_v=3, L0_H0__logits=2, L0_H1__logits=5, embed__L1_mlp=4)
    ranking = rank(SMALL, scores, absolute=False)
    assert SMALL.names(ranking.circuit(4)) == ("embed->L0.H0.v", "L0.H0->logits")  # the two best dangle
    assert not ranking.circuit(2).any()


def test_greedy_goes_from_the_logits_backwards() -> None:
    """The best edge of all is not reached before what it feeds is in."""
    scores = with_edges(embed__L0_H0_v=9, L0_H0__logits=1, embed__L0_H1_v=2, L0_H1__logits=3)
    order = rank(SMALL, scores, absolute=False, select="greedy")
    assert SMALL.names(order.circuit(2)) == ("embed->L0.H1.v", "L0.H1->logits")
    assert len(order.circuit(4).nonzero()[0]) == 4


def test_absolute_ranking_takes_what_works_against_the_answer_first() -> None:
    scores = with_edges(embed__logits=1, embed__L0_mlp=-4, L0_mlp__logits=-5)
    assert SMALL.names(rank(SMALL, scores, absolute=False).circuit(1)) == ("embed->logits",)
    assert SMALL.names(rank(SMALL, scores, absolute=True).circuit(2)) == ("embed->L0.mlp", "L0.mlp->logits")


def test_all_of_them_are_the_whole_graph() -> None:
    scores = scored(SMALL, np.random.default_rng(0).normal(size=SMALL.edge_count))
    for select in ("top", "greedy"):
        assert (rank(SMALL, scores, absolute=False, select=select).circuit(SMALL.edge_count) == SMALL.allowed).all()
    assert not rank(SMALL, scores, absolute=False).circuit(0).any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), size=st.integers(0, SMALL.edge_count), select=st.sampled_from(["top", "greedy"]))
def test_circuits_are_nested_before_pruning_and_pruned_after(seed: int, size: int, select: str) -> None:
    scores = scored(SMALL, np.random.default_rng(seed).normal(size=SMALL.edge_count).round(1))
    ranking = rank(SMALL, scores, absolute=seed % 2 == 0, select=select)
    mask = ranking.circuit(size)
    assert (SMALL.prune(mask) == mask).all() and mask.sum() <= size
    assert len(set(ranking.order.tolist())) == SMALL.edge_count


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), size=st.integers(1, SMALL.edge_count))
def test_greedy_is_mibs_search(seed: int, size: int) -> None:
    """Written as plainly as can be: of all edges into what is in, again and again the best."""
    values = np.random.default_rng(seed).normal(size=SMALL.edge_count)
    by_name = dict(zip(SMALL.edges, values, strict=True))
    nodes, taken = {"logits"}, set()
    for _ in range(size):
        reach = [e for e in by_name if e not in taken and owner(e.split("->")[1]) in nodes]
        best = max(reach, key=by_name.__getitem__)
        taken.add(best)
        nodes.add(best.split("->")[0])
    expected = SMALL.prune(SMALL.mask(taken))
    assert (rank(SMALL, scored(SMALL, values), absolute=False, select="greedy").circuit(size) == expected).all()


def owner(receiver: str) -> str:
    return receiver if receiver == "logits" else SMALL.heads_of(receiver)[0]


def test_nodes_keep_all_their_edges_and_the_embedding_is_always_in() -> None:
    scores = Scores.of(
        {"L0.H0": 2.0, "L0.H1": 1.0, "L0.mlp": 0.0, "L1.H0": -1.0, "L1.H1": -2.0, "L1.mlp": -3.0}, "test"
    )
    ranking = rank(SMALL, scores, absolute=False)
    names = SMALL.names(ranking.circuit(1))
    assert {name.split("->")[0] for name in names} == {"embed", "L0.H0"}
    assert {name.split("->")[1] for name in names} == {"L0.H0.q", "L0.H0.k", "L0.H0.v", "logits"}
    assert (ranking.circuit(6) == SMALL.allowed).all()
    assert SMALL.names(ranking.circuit(0)) == ("embed->logits",)


def test_ties_are_broken_by_forward_order_and_said() -> None:
    scores = with_edges(embed__L0_H0_v=1, L0_H0__logits=1, embed__L0_H1_v=1, L0_H1__logits=1)
    ranking = rank(SMALL, scores, absolute=False)
    assert ranking.ties([2]) == ["caveat: the cut at 2 goes through 4 equal scores: forward order decided"]
    assert ranking.ties([1, 2]) == ["caveat: the cuts at 1, 2 go through equal scores: forward order decided"]
    assert ranking.ties([4]) == []
    backwards = Scores(scores.components[::-1], scores.values[::-1], "test")
    assert (rank(SMALL, backwards, absolute=False).order[:4] == ranking.order[:4]).all()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"embed->logits": float("nan"), "L0.mlp->logits": 1.0}, "NaN, the first is embed->logits"),
        ({"embed->logits": 1.0, "L0.mlp": 1.0}, "1 of 2 scores are of edges, the others of nodes"),
        ({"L7.mlp->logits": 1.0}, "'L7.mlp' is no sender of this graph"),
        ({}, "There are no scores"),
    ],
)
def test_scores_that_make_no_circuit_are_refused_in_one_line(scores: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        rank(SMALL, Scores.of(scores, "test"), absolute=False)
    assert "\n" not in str(raised.value)


def test_sizes_and_choices_that_there_are_not() -> None:
    with pytest.raises(DataError, match="A circuit of 2 out of 1"):
        rank(SMALL, Scores.of({"embed->logits": 1.0}, "test"), absolute=False).circuit(2)
    with pytest.raises(DataError, match="can't be taken greedily"):
        rank(SMALL, Scores.of({"L0.H0": 1.0}, "test"), absolute=False, select="greedy")
