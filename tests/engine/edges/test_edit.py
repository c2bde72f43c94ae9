"""The edit that cuts edges: what it takes, where its values come from, which engine runs it, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.contrast import Contrast
from assay.circuits.graph import Graph
from assay.core.errors import DataError, ExperimentError, ShapeError, SiteError
from assay.engine.model import Model
from assay.experiments import capture, edit, metric
from assay.experiments.edge_edits import Edges
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run
from assay.experiments.sweep import sweep

CLOSE = 1e-9
"""Double precision, a few layers: differences are rounding."""


def experiment(model: Model, mask: np.ndarray, *sources: object, source: str = "corrupt") -> Experiment:
    """One run with these edges; `sources` are the edits of the run that cut values come from, if there is one."""
    graph = Graph.of(model)
    edges = edit.edges(source, senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    runs = {"main": Run(input="clean", edits=edges)}
    if sources:
        runs[source] = Run(input="corrupt", edits=sources)
    return Experiment(
        inputs=Contrast(pairs_of_ids()).inputs, runs=runs, main="main",
        metrics=[metric.logit_diff(), metric.logit_diff(name="corrupt", run="corrupt")],
    )  # fmt: skip


def nothing(model: Model) -> np.ndarray:
    return np.zeros_like(Graph.of(model).allowed)


def test_it_is_data(tmp_path: Path) -> None:
    model = tiny_gpt2()
    asked = experiment(model, nothing(model))
    asked.save(tmp_path / "cut.json")
    again = Experiment.load(tmp_path / "cut.json")
    assert again == asked and again.hash == asked.hash
    assert isinstance(again.runs["main"].edits[0], Edges)
    np.testing.assert_array_equal(model.measure(again).data["logit_diff"], model.measure(asked).data["logit_diff"])


def test_every_edge_cut_is_the_source_run() -> None:
    for model in (tiny_gpt2(), tiny_llama()):
        found = model.measure(experiment(model, nothing(model))).data
        np.testing.assert_allclose(found["logit_diff"], found["corrupt"], atol=CLOSE)


@pytest.mark.parametrize("made", ["zeros", "means"])
def test_senders_can_be_zero_or_a_mean(made: str) -> None:
    """Values come from a run, and a run may have edits: with everything cut, the output is that run's."""
    model = tiny_gpt2()
    sites = ("L0.resid_pre", "z", "mlp_out")
    edits = [edit.zero(site) if made == "zeros" else edit.mean(site, "corrupt") for site in sites]
    asked = experiment(model, nothing(model), *edits, source=made)
    asked = asked.model_copy(update={"metrics": (*asked.metrics, metric.logit_diff(name="there", run=made))})
    found = model.measure(asked).data
    np.testing.assert_allclose(found["logit_diff"], found["there"], atol=CLOSE)
    assert float(abs(found["there"] - found["corrupt"]).max()) > 0.01


def test_a_share_of_an_edge_lies_between() -> None:
    """Of an edge into the logits, the last norm apart, half of the change is the change of half."""
    model = tiny_gpt2()
    graph = Graph.of(model)
    kept = graph.allowed.astype(float)
    values = []
    for share in (0.0, 0.5, 1.0):
        kept[graph.index("L1.mlp->logits")] = share
        edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(kept))
        ids = pairs_of_ids().aligned_tokens()
        run = model.run(
            [list(e.clean) for e in ids], edits=edges, sources={"other": [list(e.corrupt) for e in ids]},
            capture="L1.resid_post",
        )  # fmt: skip
        values.append(run["L1.resid_post"])
    torch.testing.assert_close(values[1], (values[0] + values[2]) / 2, atol=CLOSE, rtol=0)
    assert not torch.equal(values[0], values[2])


def test_pairs_that_are_no_edges_mean_nothing() -> None:
    model = tiny_gpt2()
    graph = Graph.of(model)
    whole = model.measure(experiment(model, np.ones_like(graph.allowed))).data["logit_diff"]
    only_edges = model.measure(experiment(model, graph.allowed)).data["logit_diff"]
    np.testing.assert_array_equal(whole, only_edges)


def test_other_edits_come_first() -> None:
    """A cut sender's current value is what other edits made of it: zeroed and cut, it is the source's all the same."""
    model = tiny_gpt2()
    asked = experiment(model, nothing(model))
    edges = asked.runs["main"].edits[0]
    both = asked.with_runs({"main": Run(input="clean", edits=(edges, edit.zero("z", head=1), edit.zero("L0.mlp_out")))})
    found = model.measure(both).data
    np.testing.assert_allclose(found["logit_diff"], found["corrupt"], atol=CLOSE)


def test_the_naive_engine_runs_it_and_says_so() -> None:
    model = tiny_gpt2()
    edges = experiment(model, nothing(model)).runs["main"].edits[0]
    swept = sweep(
        [edges, edit.scale("attn_out")], over={"layer": None, "factor": [0.0, 2.0]}, inputs=Contrast(pairs_of_ids()).inputs,
        base="clean", metrics=[metric.logit_diff()],
    )  # fmt: skip
    plan = model.explain(swept)
    assert plan.engine == "naive" and plan.refused == "edges are cut, which takes whole passes"
    result = model.measure(swept)
    assert any("edges are cut, which takes whole passes" in fact for fact in result.provenance.facts)
    assert "naive" in str(model.explain(experiment(model, nothing(model))))


def edges(model: Model, **change: object) -> Edges:
    given = {"source": "corrupt", "senders": ["embed"], "receivers": ["logits"], "kept": [[0.0]]}
    return edit.edges(**{**given, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"senders": ["L0.H1.q"]}, DataError, r"'L0\.H1\.q' writes nothing to the residual stream"),
        ({"receivers": ["L0.KV1.q"]}, DataError, r"'L0\.KV1\.q' reads nothing of the residual stream"),
        ({"kept": [[0.0, 1.0]]}, ShapeError, r"kept has shape \[1, 2\], expected \[sender, receiver\] \[1, 1\]"),
        ({"receivers": ["logits", "logits"], "kept": [[0.0, 1.0]]}, ExperimentError, "named twice"),
    ],
)
def test_edits_that_make_no_sense_are_refused(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        edges(tiny_gpt2(), **change)


def test_edges_have_no_other_place() -> None:
    with pytest.raises(ExperimentError, match="leave out pos"):
        Edges(site="resid_pre", source="a", senders=("embed",), receivers=("logits",), kept=[[0.0]], pos=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"senders": ["L7.mlp"]}, r"L7\.mlp is not in this model: it has layers 0-1"),
        ({"senders": ["L0.H9"]}, r"L0\.H9 is not in this model: layer 0 has heads 0-3"),
    ],
)
def test_parts_that_the_model_lacks_are_refused(change: dict[str, object], message: str) -> None:
    model = tiny_gpt2()
    with pytest.raises(SiteError, match=message):
        model.run([[1, 2, 3]], edits=edges(model, **change), sources={"corrupt": [[1, 2, 4]]})


def test_derivatives_and_generation_are_refused() -> None:
    model, ids = tiny_gpt2(), [[1, 2, 3]]
    cut, sources = edges(model), {"corrupt": [[1, 2, 4]]}
    of = metric.logit_diff(answer=4, wrong=5)
    with pytest.raises(ExperimentError, match="captures gradients and has edges"):
        model.gradients(ids, of=of, sites="L0.z", edits=cut, sources=sources)
    with pytest.raises(ExperimentError, match="derivatives are taken"):
        model.integrated_gradients(ids, of=of, sites="L0.z", edits=cut, sources=sources)
    with pytest.raises(ExperimentError, match="a text is generated"):
        model.generate(ids, edits=cut, sources=sources)
    with pytest.raises(ExperimentError, match="put all edges into one"):
        Run(input="a", edits=(cut, cut), captures=()) and Experiment(
            inputs={"a": {"kind": "tokens", "tokens": ids}, "corrupt": {"kind": "tokens", "tokens": ids}},
            runs={"main": Run(input="a", edits=(cut, cut))},
        )  # fmt: skip


def test_scores_are_not_read_where_attention_is_computed_several_times() -> None:
    model = tiny_llama()
    cut = edges(model, receivers=["L1.H0.k"])
    with pytest.raises(SiteError, match="attention is computed several times there"):
        model.run([[1, 2, 3]], edits=cut, sources={"corrupt": [[1, 2, 4]]}, capture=[capture.site("L0.pattern")])
