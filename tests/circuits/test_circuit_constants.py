"""Optimal constants of a circuit learned together: where either of two parts suffices, and against a second way to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import ablate, ablate_set, eap, evaluate_circuit
from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.running import run_circuits
from assay.core.errors import SettingsError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.training.planted import situation

KL: Any = {"kind": "kl", "to": "clean"}


def optimal(objective: str, **more: Any) -> dict[str, Any]:
    return {"kind": "optimal", "objective": objective, **more}


def without(graph: Graph, *senders: str) -> np.ndarray:
    mask = graph.allowed.copy()
    mask[[graph.sender(name) for name in senders]] = False
    return mask


SIGNAL = np.array([1, 0, 1, 0, 0, 1, 0, 1])
"""Which prompts have the signal: half of those learned from, and of those held out (the first and the fifth)."""


def test_either_of_two_heads_suffices_so_only_together_their_constants_are_best() -> None:
    """An OR says 1 (yes) to a signal from either head, else −1 (no). One head alone is best held at 0: nothing is lost; both
    at 0 say no to everything, and are wrong by 2 where there is a signal. Together they are best where the OR says 0, and are
    wrong by 1 everywhere."""
    planted = situation("redundant pair", n=8)
    pairs = Pairs(
        tuple((e if signal else e.swapped()) for e, signal in zip(planted.pairs, SIGNAL, strict=True)), "either"
    ).align(None)
    graph = Graph.of(planted.model)
    settings: dict[str, Any] = {"graph": graph, "metrics": "logit_diff"}
    masks = [without(graph, "L0.H0", "L0.H1"), without(graph, "L0.H0")]
    apart = run_circuits(planted.model, pairs, masks, ablation=optimal("metric"), **settings)
    joint = run_circuits(planted.model, pairs, masks, ablation=optimal("metric", together=True), **settings)
    np.testing.assert_allclose(apart.whole["logit_diff"], SIGNAL * 0 + 1, atol=0.02)
    np.testing.assert_allclose(apart["logit_diff"], [1 - 2 * SIGNAL, SIGNAL * 0 + 1], atol=0.15)  # Adam's last steps
    np.testing.assert_allclose(joint["logit_diff"], [SIGNAL * 0, SIGNAL * 0 + 1], atol=0.15)
    assert any("constants of 2 circuits" in fact and "on 1 prompt in 4 held out" in fact for fact in joint.facts)


@pytest.mark.parametrize("build", [tiny_gpt2, tiny_llama])
def test_a_circuit_without_some_senders_is_that_set_ablated(build: Callable[[], Model]) -> None:
    """The same constants by another way: edits of the parts, with gradients at their sites."""
    parts, ablation, model = ("L0.mlp", "L1.H2", "L0.H1"), optimal("kl", steps=10), build()
    pairs, graph = pairs_of_ids(9), Graph.of(model)
    lost = ablate_set(model, pairs, parts=parts, ablation=ablation, metric=KL)["joint"].values
    found = run_circuits(
        model, pairs, [without(graph, *parts)], ablation=ablation | {"together": True}, graph=graph, metrics=KL
    )
    np.testing.assert_allclose(found["kl"][0], lost, rtol=1e-3, atol=1e-6)  # the metric is kept in single precision


def test_prompts_of_different_length_and_single_edges() -> None:
    """Cut edges, not senders: constants learned for this circuit do less harm than those learned sender by sender."""
    model = tiny_gpt2()
    short, long = pairs_of_ids(4, length=5), pairs_of_ids(4, length=7, seed=4)
    mixed = Pairs(tuple(e for two in zip(short.examples, long.examples, strict=True) for e in two)).align(None)
    graph = Graph.of(model)
    mask = graph.allowed & (np.random.default_rng(0).random(graph.allowed.shape) < 0.6)
    settings: dict[str, Any] = {"graph": graph, "metrics": KL}
    apart, joint = (
        run_circuits(model, mixed, [mask], ablation=optimal("kl", steps=10, together=together), **settings)
        for together in (False, True)
    )
    assert joint["kl"].mean() < apart["kl"].mean() and joint.empty["kl"].mean() < apart.empty["kl"].mean()
    np.testing.assert_allclose(joint.whole["kl"], 0, atol=1e-9)


def test_a_circuit_is_evaluated_with_its_own_constants() -> None:
    model, pairs = tiny_gpt2(), pairs_of_ids(8)
    circuit = Circuit(graph := Graph.of(model), without(graph, "L0.mlp", "L1.H2"))
    ablation = optimal("metric", steps=6, together=True)
    found = evaluate_circuit(
        model, pairs, circuit=circuit, ablation=ablation, metric="logit_diff", random_circuits=1  # type: ignore[arg-type]
    )  # fmt: skip
    assert any("all of a circuit's together" in fact for fact in found.provenance.facts)
    assert np.isfinite(found["kept"].values).all()


def test_what_has_no_given_circuit_is_refused() -> None:
    model, pairs = tiny_gpt2(), pairs_of_ids(4)
    asked: dict[str, Any] = {"ablation": optimal("kl", together=True), "metric": "logit_diff"}
    layers = Graph.of(model, grouped="block")
    with pytest.raises(SettingsError, match=r"together: what L0\.block writes"):
        run_circuits(model, pairs, [], graph=layers, ablation=asked["ablation"], metrics="logit_diff")
    for call in (
        lambda: eap(model, pairs, **asked),
        lambda: ablate(model, pairs, granularity="mlp", **asked),
        lambda: ablate_set(model, pairs, parts=("L0.mlp",), **asked),
    ):
        with pytest.raises(SettingsError, match="together: constants"):
            call()
