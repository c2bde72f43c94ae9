"""Circuits run: whole and empty ones, many at once, under every ablation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import ablate
from assay.circuits.contrast import Contrast
from assay.circuits.graph import Graph
from assay.circuits.running import circuits_of, run_circuits
from assay.core.errors import DataError
from assay.core.progress import listening
from assay.engine.model import Model, load
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

CLOSE = 1e-9
"""Double precision: other batches round otherwise."""

ARCHITECTURES = (
    "llama", "gpt2", "gpt_neox", "gptj", "gemma2", "gemma3_text", "mixtral", "qwen3", "qwen2_moe", "cohere", "granite",
    "phi", "mistral", "opt", "bloom", "codegen", "gpt_bigcode", "stablelm", "smollm3", "starcoder2",
)  # fmt: skip


@lru_cache(maxsize=2)
def model(name: str) -> Model:
    return {"gpt2": tiny_gpt2, "llama": tiny_llama}[name]()


def circuits(graph: Graph, n: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [graph.allowed & (rng.random(graph.allowed.shape) < share) for share in np.linspace(0.1, 0.95, n)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_whole_graph_is_the_model_and_the_empty_one_the_counterfactual_run(name: str) -> None:
    """In fp32, relative to the logits' size; a whole circuit changes nothing, so it is the plain run bit for bit."""
    subject = load(zoo.build(name)[0])
    graph, pairs = Graph.of(subject, grouped=name in ("gpt_bigcode", "stablelm")), pairs_of_ids()
    runs = run_circuits(
        subject, pairs, circuits(graph, 1), graph=graph, ablation="counterfactual", metrics=["logit_diff", "logit"]
    )
    plain = subject.measure(Experiment(
        inputs=Contrast(pairs).inputs, main="clean",
        metrics=[metric.logit_diff(name="clean"), metric.logit_diff(name="corrupt", run="corrupt"),
                 metric.logit(name="size"), metric.logit(name="other", run="corrupt")],
    )).data  # fmt: skip
    size = float(abs(plain["size"]).max())
    np.testing.assert_allclose(runs.whole["logit_diff"], plain["clean"], atol=2e-5 * size)
    np.testing.assert_allclose(runs.empty["logit_diff"], plain["corrupt"], atol=2e-5 * size)
    assert float(np.abs(runs["logit"][0] - runs.whole["logit"]).max()) > 1e-3 * size


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_circuits_together_are_what_each_is_alone(name: str) -> None:
    subject = model(name)
    graph, pairs = Graph.of(subject), pairs_of_ids()
    masks = circuits(graph)
    found = run_circuits(subject, pairs, masks, graph=graph, ablation="counterfactual", metrics="logit_diff")
    for mask, values in zip(masks, found["logit_diff"], strict=True):
        edges = edit.edges("corrupt", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
        alone = Experiment(
            inputs=Contrast(pairs).inputs, runs={"main": Run(input="clean", edits=edges)}, metrics=[metric.logit_diff()]
        )
        np.testing.assert_allclose(values, subject.measure(alone).data["logit_diff"], atol=CLOSE)


@pytest.mark.parametrize("ablation", ["counterfactual", "mean", "zero", "resample"])
def test_memory_bounds_passes_and_not_numbers(ablation: str) -> None:
    subject = model("llama")
    graph, pairs = Graph.of(subject), pairs_of_ids()
    settings = {"graph": graph, "ablation": ablation, "metrics": "logit_diff"}
    one = run_circuits(subject, pairs, circuits(graph), **settings)
    small = run_circuits(subject, pairs, circuits(graph), memory="200KB", **settings)
    assert small.cost.passes > 2 * one.cost.passes
    np.testing.assert_allclose(one["logit_diff"], small["logit_diff"], atol=CLOSE)


def test_prompts_of_different_lengths_run_in_groups() -> None:
    subject = model("gpt2")
    graph = Graph.of(subject)
    short, long = pairs_of_ids(3), pairs_of_ids(3, length=9, seed=1)
    both = type(short)((*short, *long)).align(None)
    settings = {"graph": graph, "ablation": "counterfactual", "metrics": "logit_diff"}
    found = run_circuits(subject, both, circuits(graph), **settings)["logit_diff"]
    for pairs, part in ((short, found[:, :3]), (long, found[:, 3:])):
        np.testing.assert_allclose(
            part, run_circuits(subject, pairs, circuits(graph), **settings)["logit_diff"], atol=CLOSE
        )


@pytest.mark.parametrize(("name", "step", "tolerance"), [("gpt2", 1e-4, 1e-5), ("llama", 1e-2, 1e-2)])
def test_a_mask_of_numbers_has_a_derivative(name: str, step: float, tolerance: float) -> None:
    """Against the difference of two masks, central. Llama's native code rounds norms and softmax to fp32."""
    subject = model(name)
    graph = Graph.of(subject)
    made = circuits_of(subject, pairs_of_ids(), graph=graph, ablation="counterfactual", metrics="logit_diff")
    (runner,) = list(made.runners())
    at = list(range(len(runner.rows)))
    kept = torch.tensor(circuits(graph)[2]).double() * 0.8 + 0.1

    def value(mask: torch.Tensor, *, smooth: bool) -> torch.Tensor:
        many = made.rows(runner, at, mask.expand(len(at), -1, -1), smooth=smooth)
        with torch.enable_grad():
            return many.measure_smooth(made.prepared.experiment.metrics[0], "main", made.prepared.run).sum()

    learned = kept.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(learned, smooth=True), learned)
    for edge in ("embed->L0.H1.q", "L0.H2->L1.H3.k", "L0.mlp->L1.mlp", "L0.H0->L1.H1.v", "L1.mlp->logits"):
        place = graph.index(edge)
        up, down = kept.clone(), kept.clone()
        up[place] += step
        down[place] -= step
        wanted = (value(up, smooth=False) - value(down, smooth=False)) / (2 * step)
        torch.testing.assert_close(slope[place], wanted, rtol=tolerance, atol=tolerance / 10)
    assert not bool(slope[~torch.tensor(graph.allowed)].any())


def test_progress_is_told() -> None:
    subject, heard = model("gpt2"), []
    graph = Graph.of(subject)
    with listening(lambda done, total: heard.append((done, total))):
        run_circuits(
            subject, pairs_of_ids(), circuits(graph), graph=graph, ablation="zero", metrics="logit_diff", memory="200KB"
        )
    assert len(heard) > 3 and heard[-1] == (30, 30)


def test_what_makes_no_sense_is_refused() -> None:
    subject = model("gpt2")
    graph = Graph.of(subject)
    settings = {"graph": graph, "metrics": "logit_diff"}
    with pytest.raises(DataError, match="is a mask of booleans"):
        run_circuits(subject, pairs_of_ids(), [np.ones((2, 2), dtype=bool)], ablation="zero", **settings)


def test_with_optimal_constants_a_sender_without_its_edges_is_that_part_ablated() -> None:
    """The constant is learned with the sender alone ablated, so that cutting its every edge is its node ablation."""
    subject, pairs = model("gpt2"), pairs_of_ids(3)
    graph = Graph.of(subject)
    optimal, kl = {"kind": "optimal", "objective": "kl", "steps": 8}, {"kind": "kl", "to": "clean"}
    masks = []
    for sender in ("L0.mlp", "L1.H2", "embed"):
        masks.append(graph.allowed.copy())
        masks[-1][graph.sender(sender)] = False
    found = run_circuits(subject, pairs, masks, graph=graph, ablation=optimal, metrics=kl)["kl"]
    for row, granularity, name in ((0, "mlp", "L0.mlp"), (1, "head", "L1.H2"), (2, "resid_pre", "L0.resid_pre")):
        lost = ablate(subject, pairs, granularity=granularity, ablation=optimal, metric=kl)
        expected = lost.per_example[lost.components.index(name)]
        np.testing.assert_allclose(found[row], expected, atol=1e-6)
        assert expected.min() > 1e-6
    assert (
        found[0].mean() < run_circuits(subject, pairs, masks, graph=graph, ablation="zero", metrics=kl)["kl"][0].mean()
    )
