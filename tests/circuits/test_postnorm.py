"""Methods on edges where the stream is normed after each sum: against finite differences by hand, and what must add up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.circuits.test_edge_patching import whole_passes
from tests.conformance import zoo
from tests.engine.edges.postnorm_reference import PostNorm, by_hand
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor, nn

from assay.circuits import acdc, eap, eap_ig, edge_mask, edge_patching, information_flow, path_patching, run_circuits
from assay.circuits.edge_mask import MaskTraining
from assay.circuits.graph import Graph
from assay.circuits.running import circuits_of
from assay.core.errors import SiteError
from assay.data.pairs import Pairs
from assay.engine.model import Model, load

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
NAMES = ("bert", "bart", "openai-gpt")


@lru_cache(maxsize=4)
def model(name: str) -> tuple[Model, PostNorm]:
    native = zoo.build(name)[0].double()
    return load(native), by_hand(name, native)


def by_hand_metric(hand: PostNorm, graph: Graph, pairs: Pairs, example: int, mask: np.ndarray) -> float:
    """The difference of logits at the last position with these shares kept."""
    tokens = pairs.aligned_tokens()[example]
    _, other = hand.run(torch.tensor(tokens.corrupt), lambda s, r: 1.0)

    def reads(sender: str, receiver: str) -> float:
        return float(mask[graph.sender(sender), graph.receiver(receiver)])

    logits = hand.run(torch.tensor(tokens.clean), reads, other)[0][-1]
    return float(logits[int(pairs.answer_ids[example])] - logits[int(pairs.wrong_ids[example])])


def slope_by_hand(name: str, pairs: Pairs, edge: str, at: np.ndarray, step: float = 1e-4) -> float:
    """∂(mean metric)/∂kept of one edge, as a central difference."""
    subject, hand = model(name)
    graph, values = Graph.of(subject), []
    for sign in (1, -1):
        mask = at.astype(float)
        mask[graph.index(edge)] += sign * step
        values.append(np.mean([by_hand_metric(hand, graph, pairs, i, mask) for i in range(len(pairs))]))
    return float(values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("name", NAMES)
def test_eap_is_the_slope_of_the_cut_by_hand(name: str) -> None:
    """Central differences of step 1e-4 are off by some 1e-8 of third derivatives: 1e-6 of the largest score."""
    subject, pairs = model(name)[0], pairs_of_ids(2)
    graph = Graph.of(subject)
    found = eap(subject, pairs, **HOW, check=0)  # type: ignore[arg-type]
    some = np.random.default_rng(0).permutation(len(graph.edges))[:40]
    wanted = [slope_by_hand(name, pairs, graph.edges[i], graph.allowed) for i in some]
    np.testing.assert_allclose(found.values[some], wanted, atol=1e-6 * np.abs(wanted).max())
    assert np.abs(wanted).max() > 0.01


@pytest.mark.parametrize("grouped", [False, "whole"])
@pytest.mark.parametrize("ablation", ["counterfactual", "mean", "zero", "resample"])
@pytest.mark.parametrize("name", NAMES)
def test_eap_is_the_derivative_of_the_mask(name: str, ablation: str, grouped: bool | str) -> None:
    subject = model(name)[0]
    graph = Graph.of(subject, grouped=grouped)  # type: ignore[arg-type]
    found = eap(subject, pairs_of_ids(), ablation=ablation, metric="logit_diff", grouped=grouped, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(subject, graph, ablation)
    np.testing.assert_allclose(found.values, wanted, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["bert", "xlnet", "prophetnet"])
def test_eap_is_the_derivative_of_the_mask_where_attention_is_one_node(name: str) -> None:
    """XLNet adds attention's input to its output within: what is put in is taken out of the sum. Native fp32: 1e-4."""
    subject = load(zoo.build(name)[0])
    graph, pairs = Graph.of(subject, grouped="whole"), pairs_of_ids()
    found = eap(subject, pairs, **HOW, grouped="whole", check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(subject, graph, "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-4 * np.abs(wanted).max())
    exact = edge_patching(subject, pairs, **HOW, grouped="whole")  # type: ignore[arg-type]
    cut = whole_passes(subject, graph, list(graph.edges), "counterfactual")
    np.testing.assert_allclose(exact.per_example, cut, atol=2e-5 * max(1.0, float(np.abs(cut).max())))
    assert graph.whole == (0, 1) and float(np.abs(cut).max()) > 0.01


def test_a_soft_mask_is_differentiated_through_the_norms() -> None:
    """At numbers between 0 and 1, where everything is cut in part: against central differences by hand."""
    subject, pairs = model("bert")[0], pairs_of_ids(2)
    graph = Graph.of(subject)
    at = graph.allowed * np.random.default_rng(1).uniform(0.2, 0.8, graph.allowed.shape)
    made = circuits_of(subject, pairs, graph=graph, ablation="counterfactual", metrics="logit_diff")
    kept = torch.tensor(at, requires_grad=True)
    (runner,) = made.runners()
    many = made.rows(runner, [0, 1], kept.expand(2, -1, -1), smooth=True)
    with torch.enable_grad():
        total = many.measure_smooth(made.prepared.experiment.metrics[0], "main", made.prepared.run).mean()
    slope = torch.autograd.grad(total, kept)[0].numpy()
    some = [graph.edges[i] for i in np.random.default_rng(2).permutation(len(graph.edges))[:20]]
    wanted = [slope_by_hand("bert", pairs, edge, at) for edge in some]
    np.testing.assert_allclose([slope[graph.index(e)] for e in some], wanted, atol=1e-6 * np.abs(wanted).max())


class Rms(nn.Module):
    """A norm of which autograd keeps more where its weight needs a gradient too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt())


def test_masks_are_learned_through_norms_of_any_code() -> None:
    """The norms are made again on the way back, when the model's weights need gradients as before the pass."""
    native = zoo.build("openai-gpt")[0].double()
    for block in native.transformer.h:  # type: ignore[union-attr]
        block.ln_1, block.ln_2 = Rms(32).double(), Rms(32).double()  # type: ignore[union-attr]
    subject = load(native)
    graph, pairs = Graph.of(subject), pairs_of_ids()
    found = eap(subject, pairs, **HOW, check=0)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.values, mask_derivative(subject, graph, "counterfactual"), atol=1e-10)
    assert graph.layers[0].heads == 4 and all(p.requires_grad and p.grad is None for p in native.parameters())


@pytest.mark.parametrize("path", ["inputs", "activations"])
@pytest.mark.parametrize("name", ["bert", "openai-gpt"])
def test_scores_out_of_the_embedding_add_up(name: str, path: str) -> None:
    """To m(clean) − m(embedding ablated), with a gap that falls as 1/steps² (a factor of 4 from 32 to 64)."""
    subject, pairs = model(name)[0], pairs_of_ids()
    graph = Graph.of(subject)
    without = graph.allowed & (np.arange(len(graph.senders)) > 0)[:, None]
    runs = run_circuits(subject, pairs, [without], graph=graph, ablation="counterfactual", metrics="logit_diff")
    effect = float((runs.whole["logit_diff"] - runs["logit_diff"][0]).mean())
    gaps = []
    for steps in (32, 64):
        found = eap_ig(subject, pairs, **HOW, path=path, steps=steps, check=0)  # type: ignore[arg-type]
        gaps.append(sum(found[edge] for edge in graph.edges if edge.startswith("embed->")) - effect)
    assert abs(effect) > 0.01 and abs(gaps[1]) < 1e-3 * abs(effect)
    assert 3.0 < gaps[0] / gaps[1] < 5.0


def test_activations_of_one_layer_add_up_to_their_joint_effect() -> None:
    subject, pairs = model("bart")[0], pairs_of_ids()
    graph = Graph.of(subject)
    found = eap_ig(subject, pairs, ablation="mean", metric="logit_diff", path="activations", steps=64, check=0)
    for names in (["L0.mlp"], [f"L1.H{h}" for h in range(4)]):
        cut = graph.allowed.copy()
        cut[[graph.sender(name) for name in names]] = False
        runs = run_circuits(subject, pairs, [cut], graph=graph, ablation="mean", metrics="logit_diff")
        effect = float((runs.whole["logit_diff"] - runs["logit_diff"][0]).mean())
        summed = sum(found[edge] for edge in graph.edges if edge.split("->")[0] in names)
        assert summed == pytest.approx(effect, abs=2e-3 * max(0.1, abs(effect)))


@pytest.mark.parametrize("name", NAMES)
def test_each_edge_by_itself_is_what_whole_passes_give(name: str) -> None:
    subject = model(name)[0]
    graph = Graph.of(subject)
    found = edge_patching(subject, pairs_of_ids(), **HOW, receivers=r"L1\..*|logits")  # type: ignore[arg-type]
    assert found.per_example is not None
    wanted = whole_passes(subject, graph, list(found.components), "counterfactual")
    np.testing.assert_allclose(found.per_example, wanted, atol=1e-10 * max(1.0, float(np.abs(wanted).max())))
    assert float(np.abs(wanted).max()) > 0.01


def test_circuits_are_found_and_masks_learned() -> None:
    subject, pairs = model("bert")[0], pairs_of_ids(8)
    found = acdc(subject, pairs.take([0, 1, 2]), tau=0.02, **HOW, grouped="whole")  # type: ignore[arg-type]
    assert 0 < found.edge_count < found.graph.edge_count
    asked = MaskTraining(steps=20, batch=4)
    learned = edge_mask(subject, pairs, size=20, kind="hard_concrete", **HOW, training=asked)  # type: ignore[arg-type]
    assert np.isfinite(learned.values).all() and float(np.ptp(learned.values)) > 0.1


def test_estimates_say_how_far_they_are_from_exact_cuts() -> None:
    found = eap(model("bert")[0], pairs_of_ids(), **HOW)  # type: ignore[arg-type]
    assert any("against exact patching" in fact for fact in found.facts)


def test_path_patching_norms_what_it_leaves_open() -> None:
    """With MLPs held, what one head does to the logits directly is that edge cut by itself."""
    subject, pairs = model("bert")[0], pairs_of_ids(3)
    how = {"ablation": "counterfactual", "direction": "noise", "metric": "logit_diff"}
    found = path_patching(subject, pairs, senders=("L0.H1",), receivers=("logits",), freeze_mlps=True, **how)  # type: ignore[arg-type]
    edge = edge_patching(subject, pairs, **HOW, senders=r"L0\.H1", receivers="logits")  # type: ignore[arg-type]
    np.testing.assert_allclose(found.per_example, edge.per_example, atol=1e-10)


def test_information_flow_needs_a_sum() -> None:
    for level in ("edge", "node"):
        with pytest.raises(SiteError, match="norms or multiplies its stream"):
            information_flow(model("bert")[0], pairs_of_ids(3), level=level)  # type: ignore[arg-type]
