"""The graph of components: its counts, names, and the edges that lead nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance import zoo
from tests.tiny_pairs import tiny_gpt2, tiny_llama

from assay.circuits.graph import Graph
from assay.core.errors import DataError, SiteError
from assay.engine.model import load

SMALL = Graph.sequential(layers=2, heads=2)


@pytest.mark.parametrize(
    ("layers", "heads", "edges"),
    [(12, 12, 32_491), (6, 4, 1_108), (32, 32, 1_592_881)],
    ids=["GPT-2 small", "InterpBench", "Llama-3-8B"],
)
def test_edge_counts_are_those_of_the_literature(layers: int, heads: int, edges: int) -> None:
    assert Graph.sequential(layers=layers, heads=heads).edge_count == edges


def test_counts_follow_from_names() -> None:
    """Counted by hand: layer 0 has 6 slots that read 1 sender and an MLP that reads 3; layer 1 reads 4, its MLP 6."""
    assert SMALL.edge_count == 6 * 1 + 3 + 6 * 4 + 6 + 7 == SMALL.allowed.sum() == len(SMALL.edges)


def test_in_parallel_blocks_heads_do_not_reach_their_own_mlp() -> None:
    graph = Graph.parallel(layers=2, heads=2)
    assert graph.edge_count == SMALL.edge_count - 2 * 2
    with pytest.raises(DataError, match=r"L1\.mlp does not read what L1\.H0 writes"):
        graph.index("L1.H0->L1.mlp")
    assert graph.index("L0.H0->L1.mlp")


def test_grouped_graphs_name_key_value_heads() -> None:
    graph = Graph.of(tiny_llama(), grouped=True)
    assert "L1.KV1.k" in graph.receivers and "L1.H0.k" not in graph.receivers
    assert graph.heads_of("L1.KV1.k") == ("L1.H2", "L1.H3")
    assert graph == Graph.sequential(layers=3, heads=4, kv_heads=2, grouped=True)
    assert Graph.of(tiny_gpt2(), grouped=True).receivers == Graph.of(tiny_gpt2()).receivers


def test_a_name_is_found_where_it_stands_in_a_mask() -> None:
    for s, r in np.argwhere(SMALL.allowed):
        assert SMALL.index(f"{SMALL.senders[s]}->{SMALL.receivers[r]}") == (s, r)


def test_names_and_masks_are_the_same_thing() -> None:
    edges = ("embed->L0.H1.v", "L0.H1->logits")
    assert SMALL.names(SMALL.mask(edges)) == edges


def test_later_parts_do_not_reach_earlier_ones() -> None:
    for edge in ("L1.mlp->L1.H0.q", "L0.H0->L0.H1.v", "L1.H0->L0.mlp"):
        with pytest.raises(DataError, match="is not an edge of this graph"):
            SMALL.index(edge)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ("L0.H1", "expected SENDER->RECEIVER"),
        ("L0.H9->logits", r"'L0\.H9' is no sender of this graph\. Nearest: L0\.H0"),
        ("embed->L0.H1", r"'L0\.H1' is no receiver of this graph"),
    ],
)
def test_wrong_names_are_refused(edge: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SMALL.index(edge)


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="is a mask of booleans"):
        SMALL.prune(np.zeros((2, 2), dtype=bool))
    with pytest.raises(DataError, match="no edge of this graph"):
        SMALL.prune(np.ones_like(SMALL.allowed))


def test_pruning_takes_out_edges_that_lead_nowhere() -> None:
    whole = ("embed->L0.H1.v", "L0.H1->L1.mlp", "L1.mlp->logits")
    dangling = ("embed->L0.H0.q", "L0.mlp->L1.H0.k", "L1.H1->logits")
    assert SMALL.names(SMALL.prune(SMALL.mask(whole + dangling))) == whole


def test_pruning_goes_through_a_head_by_any_of_its_slots() -> None:
    path = ("embed->L0.H0.k", "L0.H0->logits")
    assert set(SMALL.names(SMALL.prune(SMALL.mask(path)))) == set(path)


def test_pruning_a_shared_key_feeds_every_head_that_shares_it() -> None:
    graph = Graph.sequential(layers=1, heads=4, kv_heads=2, grouped=True)
    path = ("embed->L0.KV1.k", "L0.H3->logits")
    assert set(graph.names(graph.prune(graph.mask((*path, "L0.H1->logits"))))) == set(path)


def test_no_edges_and_all_edges_stay_as_they_are() -> None:
    assert not SMALL.prune(np.zeros_like(SMALL.allowed)).any()
    assert (SMALL.prune(SMALL.allowed) == SMALL.allowed).all()


def _on_paths(graph: Graph, mask: np.ndarray) -> set[str]:
    """Edges on paths from embed to logits, by walking every path (exponential: small graphs only)."""
    found: set[str] = set()

    def walk(node: str, path: tuple[str, ...]) -> None:
        if node == "logits":
            found.update(path)
            return
        for r in np.flatnonzero(mask[graph.sender(node)]):
            receiver = graph.receivers[r]
            for owner in ("logits",) if receiver == "logits" else graph.heads_of(receiver):
                walk(owner, (*path, f"{node}->{receiver}"))

    walk("embed", ())
    return found


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 0.5), parallel=st.booleans())
def test_pruning_keeps_just_the_edges_on_paths(seed: int, share: float, parallel: bool) -> None:
    build = Graph.parallel if parallel else Graph.sequential
    graph = build(layers=2, heads=2)
    mask = graph.allowed & (np.random.default_rng(seed).random(graph.allowed.shape) < share)
    pruned = graph.prune(mask)
    assert set(graph.names(pruned)) == _on_paths(graph, mask)
    assert (graph.prune(pruned) == pruned).all()


def test_json_gives_an_equal_graph() -> None:
    for graph in (SMALL, Graph.parallel(layers=1, heads=4, kv_heads=2, grouped=True)):
        assert Graph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize(
    ("name", "parallel"), [("gpt_neox", True), ("gptj", True), ("gemma2", False), ("mixtral", False)]
)
def test_architectures_have_the_graph_of_their_blocks(name: str, parallel: bool) -> None:
    model = load(zoo.build(name)[0])
    assert {layer.parallel for layer in Graph.of(model).layers} == {parallel}


def test_models_of_two_stacks_are_refused() -> None:
    with pytest.raises(SiteError, match="one stack of layers"):
        Graph.of(load(zoo.build("T5ForConditionalGeneration")[0]))
