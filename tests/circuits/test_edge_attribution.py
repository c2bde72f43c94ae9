"""Edge attribution: against the derivative of the cut itself, what must add up, and what it says about its own error."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.edge_attribution import eap, eap_ig
from assay.circuits.edge_exactness import exact_effects
from assay.circuits.graph import Graph
from assay.circuits.running import circuits_of
from assay.core.caveats import caveats_in
from assay.core.errors import DataError, ExperimentError, SettingsError
from assay.core.progress import listening
from assay.engine.model import Model, load
from assay.experiments import edit, metric

ABLATIONS = ("counterfactual", "mean", "zero", "resample")


@lru_cache(maxsize=8)
def model(name: str) -> Model:
    made = {"gpt2": tiny_gpt2, "llama": tiny_llama}
    if name in made:
        return made[name]()
    native = zoo.build(name)[0]
    return load(native if name == "mixtral" else native.double())  # its experts compute in fp32 alone


def mask_derivative(subject: Model, graph: Graph, ablation: str) -> np.ndarray:
    """∂(mean metric)/∂kept at the whole circuit: what cutting each edge costs to first order, through cut edges."""
    made = circuits_of(subject, pairs_of_ids(), graph=graph, ablation=ablation, metrics="logit_diff")
    kept = torch.ones(graph.allowed.shape, dtype=torch.float64, requires_grad=True)
    (runner,) = list(made.runners())
    at = list(range(len(runner.rows)))
    many = made.rows(runner, at, kept.expand(len(at), -1, -1), smooth=True)
    with torch.enable_grad():
        total = many.measure_smooth(made.prepared.experiment.metrics[0], "main", made.prepared.run).mean()
    return torch.autograd.grad(total, kept)[0].numpy()[graph.allowed]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "mixtral", "qwen3", "granite", "opt"])
def test_eap_is_the_derivative_of_the_cut(name: str, grouped: bool) -> None:
    """Two ways to the same number: gradients at the receivers times changes of the senders, and the derivative of the
    metric with respect to how much of each edge is kept. 1e-4: some native code rounds, and Mixtral's is all fp32."""
    subject = model(name)
    graph = Graph.of(subject, grouped=grouped)
    found = eap(subject, pairs_of_ids(), ablation="counterfactual", metric="logit_diff", grouped=grouped, check=0)
    wanted = mask_derivative(subject, graph, "counterfactual")
    assert found.components == graph.edges
    np.testing.assert_allclose(found.values, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_every_ablation_is_the_one_of_the_circuits(ablation: str) -> None:
    subject = model("gpt2")
    found = eap(subject, pairs_of_ids(), ablation=ablation, metric="logit_diff", check=0)
    np.testing.assert_allclose(found.values, mask_derivative(subject, Graph.of(subject), ablation), atol=1e-10)


def test_a_norm_after_attention_is_gone_through_exactly() -> None:
    """What a receiver reads more when one head is cut is a difference of normed sums, not its slope: into the logits,
    where the rest is only the last norm, EAP is as good as its gradient."""
    subject = model("gemma2")
    graph = Graph.of(subject)
    found = eap(subject, pairs_of_ids(), ablation="counterfactual", metric="logit_diff", check=0)
    made = circuits_of(subject, pairs_of_ids(), graph=graph, ablation="counterfactual", metrics="logit_diff")
    edges = np.array([graph.index(f"L1.H{h}->logits") for h in range(4)])
    exact = exact_effects(made, edges).values.mean(1)
    estimated = [found[f"L1.H{h}->logits"] for h in range(4)]
    np.testing.assert_allclose(estimated, exact, rtol=0.35)


@pytest.mark.parametrize("path", ["inputs", "activations"])
def test_scores_add_up_as_steps_grow(path: str) -> None:
    """Out of `embed` along the path of the embedding: to m(clean) − m(embedding ablated), with a gap that falls as
    1/steps² once it is small (a factor of 4 from 32 to 64)."""
    subject = model("gpt2")
    graph = Graph.of(subject)
    made = circuits_of(subject, pairs_of_ids(), graph=graph, ablation="counterfactual", metrics="logit_diff")
    kept = torch.tensor(np.stack([graph.allowed, graph.allowed & (np.arange(len(graph.senders)) > 0)[:, None]]))
    whole, without = made.measure(kept)["logit_diff"].mean(1)
    gaps = []
    for steps in (32, 64):
        found = eap_ig(
            subject, pairs_of_ids(), ablation="counterfactual", metric="logit_diff", path=path, steps=steps, check=0
        )
        gaps.append(sum(found[edge] for edge in graph.edges if edge.startswith("embed->")) - (whole - without))
    assert abs(gaps[1]) < 1e-4 and 3.5 < gaps[0] / gaps[1] < 4.5


def test_activations_of_one_layer_add_up_to_their_joint_effect() -> None:
    subject = model("gpt2")
    graph = Graph.of(subject)
    found = eap_ig(subject, pairs_of_ids(), ablation="mean", metric="logit_diff", path="activations", steps=64, check=0)
    made = circuits_of(subject, pairs_of_ids(), graph=graph, ablation="mean", metrics="logit_diff")
    for names in (["L0.mlp"], [f"L1.H{h}" for h in range(4)]):
        cut = graph.allowed.copy()
        cut[[graph.sender(name) for name in names]] = False
        whole, without = made.measure(torch.tensor(np.stack([graph.allowed, cut])))["logit_diff"].mean(1)
        summed = sum(found[edge] for edge in graph.edges if edge.split("->")[0] in names)
        assert summed == pytest.approx(whole - without, abs=2e-3)


def test_one_midpoint_is_halfway() -> None:
    """One step of the path of inputs is the gradient at the mean of both embeddings: by the model's own gradients."""
    subject = model("gpt2")
    pairs = pairs_of_ids()
    found = eap_ig(subject, pairs, ablation="counterfactual", metric="logit_diff", path="inputs", steps=1, check=0)
    tokens = pairs.aligned_tokens()
    clean, corrupt = ([list(getattr(each, side)) for each in tokens] for side in ("clean", "corrupt"))
    ends = [subject.run(ids, capture=["L0.resid_pre", "L1.mlp_out"]) for ids in (clean, corrupt)]
    middle = (ends[0]["L0.resid_pre"] + ends[1]["L0.resid_pre"]) / 2
    slope = subject.gradients(
        clean, of=metric.logit_diff(answer=[[int(a)] for a in pairs.answer_ids], wrong=[[int(w)] for w in pairs.wrong_ids]),
        sites="L1.resid_post", edits=edit.set("L0.resid_pre", middle),
    )["L1.resid_post"]  # fmt: skip
    wanted = ((ends[0]["L1.mlp_out"] - ends[1]["L1.mlp_out"]) * slope).sum() / len(pairs)
    assert found["L1.mlp->logits"] == pytest.approx(float(wanted), rel=1e-9)


def test_it_says_how_wrong_it_is() -> None:
    subject = model("gpt2")
    settings = {"ablation": "counterfactual", "metric": "logit_diff"}
    found = eap(subject, pairs_of_ids(), **settings, check=24, seed=1)
    assert "compared on 5 examples, 24 of 110 edges" in found.facts
    assert any("against exact patching" in fact and "recall at 5" in fact for fact in found.facts)
    unchecked = eap(subject, pairs_of_ids(), **settings, check=0)
    assert any("not compared" in fact for fact in caveats_in(unchecked.facts))
    again = eap(subject, pairs_of_ids(), **settings, check=24, seed=1)
    assert again.facts == found.facts and (again.values == found.values).all()


def test_losses_count_negatively() -> None:
    """Kept edges hold the output near the clean one: KL is less with them, so their scores are positive in sum."""
    kl = metric.kl(to="clean")
    found = eap_ig(
        model("gpt2"), pairs_of_ids(), ablation="counterfactual", metric=kl, path="inputs", steps=32, check=0
    )
    out = [value for edge, value in zip(found.components, found.values, strict=True) if edge.startswith("embed->")]
    assert sum(out) > 0.01


def test_progress_is_told() -> None:
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        eap(model("gpt2"), pairs_of_ids(20), ablation="zero", metric="logit_diff")
    assert heard == [(8, 20), (16, 20), (20, 20)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metric": {"kind": "kl", "to": "clean"}}, ExperimentError, "zero in that run"),
        ({"metric": "accuracy"}, ExperimentError, "counts, so it has no gradient"),
        ({"check": 2}, SettingsError, "at least 3 edges"),
        ({"metric": metric.entropy(pos=0)}, DataError, "nothing to explain"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], error: type[Exception], message: str) -> None:
    settings = {"ablation": "zero", "metric": "logit_diff", **change}
    with pytest.raises(error, match=message):
        eap(model("gpt2"), pairs_of_ids(), **settings)  # type: ignore[arg-type]
