"""Edges patched one at a time: from caches and the layers after them, the same as cut in whole passes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from tests.conformance import zoo
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.edge_patching import edge_patching
from assay.circuits.graph import Graph
from assay.circuits.running import circuits_of, run_circuits
from assay.core.errors import SettingsError
from assay.core.progress import listening
from assay.engine.edges.single import cut_each, why_whole
from assay.engine.model import Model, load

ALL = {"ablation": "counterfactual", "metric": "logit_diff"}


@lru_cache(maxsize=4)
def model(name: str) -> Model:
    made = {"gpt2": tiny_gpt2, "llama": tiny_llama}
    return made[name]() if name in made else load(zoo.build(name)[0])


def whole_passes(subject: Model, graph: Graph, edges: list[str], ablation: str) -> np.ndarray:
    masks = []
    for edge in edges:
        mask = graph.allowed.copy()
        mask[graph.index(edge)] = False
        masks.append(mask)
    runs = run_circuits(subject, pairs_of_ids(), masks, graph=graph, ablation=ablation, metrics="logit_diff")
    return runs.whole["logit_diff"] - runs["logit_diff"]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "gptj", "gemma2", "mixtral", "qwen3"])
def test_from_caches_it_is_what_whole_passes_give(name: str, grouped: bool) -> None:
    """Every edge of a small graph. Native code rounds to fp32 in most: 2e-5 of logits near 1."""
    subject = model(name)
    found = edge_patching(subject, pairs_of_ids(), **ALL, grouped=grouped)
    graph = Graph.of(subject, grouped=grouped)
    assert found.components == graph.edges
    wanted = whole_passes(subject, graph, list(graph.edges), "counterfactual")
    assert "engine: scheduled: each from its layer on" in found.facts
    assert found.per_example is not None
    np.testing.assert_allclose(found.per_example, wanted, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))
    assert float(np.abs(wanted).max()) > 0.01


@pytest.mark.parametrize("ablation", ["mean", "zero", "resample"])
def test_every_ablation(ablation: str) -> None:
    subject = model("gpt2")
    found = edge_patching(subject, pairs_of_ids(), ablation=ablation, metric="logit_diff", receivers=r"L1\..*|logits")
    wanted = whole_passes(subject, Graph.of(subject), list(found.components), ablation)
    np.testing.assert_allclose(found.per_example, wanted, atol=1e-9)


def test_an_edge_costs_the_layers_after_it() -> None:
    """Of 3 layers, edges into the last compute one layer each: a third of the tokens of edges into the first."""
    subject = model("llama")
    graph = Graph.of(subject)
    made = {}
    for layer in (0, 2):
        circuits = circuits_of(subject, pairs_of_ids(), graph=graph, ablation="counterfactual", metrics="logit_diff")
        before = circuits.prepared.tally.tokens
        cut_each(circuits, [graph.index(f"embed->L{layer}.H{h}.q") for h in range(4)])
        made[layer] = circuits.prepared.tally.tokens - before
    base = 2 * 5 * 7  # the unchanged pass, and that of the source
    assert made[0] == base + 4 * 5 * 7 and made[2] == base + (4 * 5 * 7) // 3


def test_chosen_senders_and_receivers() -> None:
    found = edge_patching(model("gpt2"), pairs_of_ids(), **ALL, senders=r"L0\.H.*", receivers=r"L1\.H2\.q|logits")
    assert found.components == tuple(f"L0.H{h}->{r}" for h in range(4) for r in ("L1.H2.q", "logits"))


def test_memory_and_groups_change_no_number() -> None:
    subject = model("llama")
    pairs = type(pairs_of_ids())((*pairs_of_ids(3), *pairs_of_ids(3, length=9, seed=1))).align(None)
    graph = Graph.of(subject)
    made = circuits_of(subject, pairs, graph=graph, ablation="counterfactual", metrics="logit_diff")
    edges = [graph.index(edge) for edge in graph.edges[::7]]
    one, small = cut_each(made, edges), cut_each(made, edges, memory="100KB")
    np.testing.assert_allclose(one, small, atol=1e-9)
    np.testing.assert_allclose(cut_each(made, edges, rows=[4, 1]), one[:, [4, 1]], atol=1e-9)


def test_models_without_a_chain_take_whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = model("gpt2")
    usual = edge_patching(subject, pairs_of_ids(), **ALL, receivers="logits")
    monkeypatch.setattr("assay.circuits.edge_exactness.why_whole", lambda made: "so the test wants it")
    whole = edge_patching(subject, pairs_of_ids(), **ALL, receivers="logits")
    assert "engine: whole passes: so the test wants it" in whole.facts
    np.testing.assert_allclose(usual.values, whole.values, atol=1e-9)


def test_progress_is_told() -> None:
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        edge_patching(model("gpt2"), pairs_of_ids(), **ALL, receivers="logits")
    assert heard[-1] == (55, 55)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"senders": "L9.*"}, "matches none"),
        ({"receivers": "("}, "is no regular expression"),
        ({"senders": r"L1\.mlp", "receivers": r"L0\..*"}, "no edge leads from"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        edge_patching(model("gpt2"), pairs_of_ids(), **ALL, **change)


def test_it_can_be_told_why_whole_passes_are_needed() -> None:
    made = circuits_of(
        model("gpt2"), pairs_of_ids(), graph=Graph.of(model("gpt2")), ablation="zero", metrics="logit_diff"
    )
    assert why_whole(made) is None
