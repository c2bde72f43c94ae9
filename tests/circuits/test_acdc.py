"""ACDC: what stays, what is cut for nothing, and stand-ins that are only seen together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2

from assay.circuits.acdc import _Search, acdc
from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.running import run_circuits
from assay.core.errors import SettingsError
from assay.core.progress import listening
from assay.engine.model import Model

KL = {"kind": "kl", "to": "clean"}


@lru_cache(maxsize=1)
def model() -> Model:
    return tiny_gpt2()


@lru_cache(maxsize=4)
def found(tau: float, *, absolute: bool = False) -> Circuit:
    return acdc(model(), pairs_of_ids(8), tau=tau, ablation="counterfactual", metric=KL, absolute=absolute)


def kl(*masks: np.ndarray) -> np.ndarray:
    graph = Graph.of(model())
    return run_circuits(model(), pairs_of_ids(8), masks, graph=graph, ablation="counterfactual", metrics=KL)["kl"].mean(
        1
    )


def test_less_is_left_as_more_may_be_lost() -> None:
    sizes = [found(tau).edge_count for tau in (1e-4, 1e-3, 1e-2)]
    assert sizes[0] > sizes[1] > sizes[2]
    losses = kl(*(found(tau).mask for tau in (1e-4, 1e-3)))
    assert losses[0] < losses[1] < kl(np.zeros_like(found(1e-3).mask))[0]


def test_no_more_is_lost_than_tau_for_each_edge_that_went() -> None:
    circuit = found(1e-3)
    gone = circuit.graph.edge_count - circuit.edge_count
    assert kl(circuit.mask)[0] < 1e-3 * gone


def test_it_is_nearer_to_the_model_than_random_circuits_of_its_size() -> None:
    circuit, rng = found(1e-3), np.random.default_rng(0)
    edges = np.argwhere(circuit.graph.allowed)
    random = []
    for _ in range(8):
        mask = np.zeros_like(circuit.mask)
        mask[tuple(edges[rng.permutation(len(edges))[: circuit.edge_count]].T)] = True
        random.append(mask)
    assert kl(circuit.mask)[0] < 0.5 * kl(*random).min()


def test_an_edge_that_stays_is_needed_where_it_was_tested() -> None:
    """Edges into the logits are judged against the whole graph: those that stay cost tau or more there, others less."""
    circuit = found(1e-3)
    graph = circuit.graph
    masks = []
    for name in graph.senders:
        mask = graph.allowed.copy()
        mask[graph.index(f"{name}->logits")] = False
        masks.append(mask)
    lost = kl(*masks)
    stays = np.array([circuit.mask[graph.index(f"{name}->logits")] for name in graph.senders])
    assert not (stays & (lost < 1e-3)).any()
    assert circuit.scores is not None
    np.testing.assert_allclose([circuit.scores[f"{name}->logits"] for name in graph.senders], lost, atol=1e-9)


def test_what_leads_nowhere_costs_nothing() -> None:
    circuit = found(1e-2)
    tested = int(next(f for f in circuit.facts if "tested" in f).split(" ")[0])
    assert tested < circuit.graph.edge_count
    assert (circuit.graph.prune(circuit.mask) == circuit.mask).all()


class _StandIns:
    """Circuits of one layer of two heads whose metric is 1 while either head reaches the logits."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def measure(self, kept: torch.Tensor) -> dict[str, np.ndarray]:
        edges = [self.graph.index(f"L0.H{h}->logits") for h in range(2)]
        return {"m": np.array([[float(any(mask[edge] for edge in edges))] for mask in kept.numpy()])}


def test_of_two_that_stand_in_for_one_another_one_stays() -> None:
    graph = Graph.sequential(layers=1, heads=2)
    search = _Search(graph, _StandIns(graph), 0.1, 1.0, absolute=False)  # type: ignore[arg-type]
    list(search.run())
    left = [edge for edge in graph.names(search.mask) if edge in ("L0.H0->logits", "L0.H1->logits")]
    assert len(left) >= 1 and search.returned > 0
    assert search._measure([search.mask]) == [1.0]


def test_absolute_keeps_what_works_against_the_metric() -> None:
    assert found(1e-3, absolute=True).edge_count >= found(1e-3).edge_count


def test_progress_and_settings() -> None:
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        acdc(model(), pairs_of_ids(2), tau=1.0, ablation="zero", metric="logit_diff")
    assert heard[-1] == (27, 27)
    with pytest.raises(SettingsError, match="expected a number above 0"):
        acdc(model(), pairs_of_ids(2), tau=0.0, ablation="zero", metric="logit_diff")
