"""Learned masks: better than chance, of the size that was asked for, the same for the same seed, and stopped in time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2

from assay.circuits.edge_mask import MaskTraining, _Mask, edge_mask
from assay.circuits.graph import Graph
from assay.circuits.running import run_circuits
from assay.core.caveats import caveats_in
from assay.core.errors import SettingsError
from assay.core.progress import listening
from assay.core.protocols import Scores
from assay.engine.model import Model

KL = {"kind": "kl", "to": "clean"}
SIZE = 40
SHORT = MaskTraining(steps=60, batch=4, patience=2)


@lru_cache(maxsize=1)
def model() -> Model:
    return tiny_gpt2()


@lru_cache(maxsize=4)
def learned(kind: str, seed: int = 0, metric: str = "kl") -> Scores:
    chosen = KL if metric == "kl" else metric
    return edge_mask(
        model(),
        pairs_of_ids(12),
        size=SIZE,
        kind=kind,
        ablation="counterfactual",
        metric=chosen,
        training=SHORT,
        seed=seed,
    )


def missed(scores: list[tuple[str, ...]], metric: object = KL) -> np.ndarray:
    graph = Graph.of(model())
    masks = [graph.mask(edges) for edges in scores]
    runs = run_circuits(model(), pairs_of_ids(12), masks, graph=graph, ablation="counterfactual", metrics=metric)
    return next(iter(runs.values.values()))


@pytest.mark.parametrize("kind", ["hard_concrete", "top_k"])
def test_the_circuit_is_nearer_to_the_model_than_random_ones(kind: str) -> None:
    edges, rng = Graph.of(model()).edges, np.random.default_rng(0)
    random = [tuple(edges[i] for i in rng.permutation(len(edges))[:SIZE]) for _ in range(8)]
    values = missed([learned(kind).top(SIZE), *random]).mean(1)
    assert values[0] < 0.75 * values[1:].min()


def test_other_metrics_are_held_at_the_whole_models_value() -> None:
    """Not pushed up: the squared distance of the logit difference is what gets small."""
    graph = Graph.of(model())
    found = learned("hard_concrete", metric="logit_diff").top(SIZE)
    masks = [graph.mask(found), np.zeros_like(graph.allowed)]
    runs = run_circuits(model(), pairs_of_ids(12), masks, graph=graph, ablation="counterfactual", metrics="logit_diff")
    distance = np.square(runs["logit_diff"] - runs.whole["logit_diff"]).mean(1)
    assert distance[0] < 0.5 * distance[1]


def test_a_seed_decides_all_that_is_random() -> None:
    learned.cache_clear()
    first = learned("hard_concrete").values
    learned.cache_clear()
    assert (learned("hard_concrete").values == first).all()
    assert not (learned("hard_concrete", seed=1).values == first).all()


def test_expected_size_comes_down_to_what_was_asked_and_no_further() -> None:
    """The penalty alone, by gradient descent; then, of many draws, about as many edges are not 0."""
    mask = _Mask(Graph.of(model()), "hard_concrete", SIZE, 0)
    optimiser = torch.optim.Adam([mask.logits], lr=0.1)
    assert mask.excess() is not None
    while (excess := mask.excess()) is not None:
        optimiser.zero_grad()
        excess.backward()
        optimiser.step()
    drawn = mask.soft(500, 1.0).detach()[:, mask.allowed]
    assert float((drawn > 0).sum(1).double().mean()) == pytest.approx(SIZE, rel=0.1)
    assert float((drawn == 1).double().mean()) > 0.05


def test_it_stops_when_held_out_examples_get_no_better() -> None:
    found = learned("hard_concrete")
    assert "examples held out (all edges:" in found.facts[0]
    steps = int(found.facts[1].split(", ")[1].split(" ")[0])
    assert 30 < steps <= 60
    used_up = [fact for fact in caveats_in(found.facts) if "used up" in fact]
    assert bool(used_up) == (steps == 60)


def test_progress_is_told_and_nonsense_refused() -> None:
    heard: list[tuple[int, int]] = []
    settings = {"kind": "top_k", "ablation": "zero", "metric": KL}
    with listening(lambda done, total: heard.append((done, total))):
        edge_mask(model(), pairs_of_ids(4), size=5, training=MaskTraining(steps=3), **settings)
    assert heard == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(SettingsError, match="this graph has 110 edges"):
        edge_mask(model(), pairs_of_ids(4), size=111, **settings)
    with pytest.raises(SettingsError, match="at least 4"):
        edge_mask(model(), pairs_of_ids(3), size=5, **settings)
