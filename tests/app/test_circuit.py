"""`assay circuit`: find one, evaluate it, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.models.tiny import llama_folder
from tests.tiny_pairs import pairs_of_ids

import assay
from assay.app.cli import run
from assay.circuits import circuit_curves, evaluate_circuit, weight_norms
from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.mib_format import write_mib
from assay.core.protocols import Scores
from assay.core.result import Result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few layers on disk."""
    path = tmp_path_factory.mktemp("model")
    llama_folder(path)
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs_of_ids(4).to_jsonl(tmp_path_factory.mktemp("data") / "pairs.jsonl")


@pytest.fixture
def edges(folder: Path, tmp_path: Path) -> Path:
    """A circuit with scores of edges, as a file."""
    graph = Graph.of(assay.load(folder))
    scores = Scores(graph.edges, np.random.default_rng(0).normal(size=graph.edge_count), "random numbers")
    return Circuit.of_scores(graph, scores, size=graph.edge_count // 2, absolute=True).save(tmp_path / "edges.json")


def test_what_is_found_is_saved_with_how(
    folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, drawing = tmp_path / "found.json", tmp_path / "found.svg"
    ask = ["circuit", "find", "weight_norms", "--model", str(folder), "--pairs", str(pairs), "--fraction", "0.5",
           "--set", "granularity=head", "--out", str(out), "--svg", str(drawing)]  # fmt: skip
    assert run(ask) == 0
    text = capsys.readouterr().out
    model = assay.load(folder)
    found = Circuit.load(out).on(Graph.of(model))
    scores = weight_norms(model, pairs_of_ids(4), granularity="head")
    expected = Circuit.of_scores(found.graph, scores, size=len(scores) // 2, absolute=True)
    assert (found.mask == expected.mask).all() and found.provenance.model_fingerprint == model.fingerprint
    assert f"{found.edge_count:,} edges" in text and "found on 4 prompts of own, 2 templates, split train" in text
    assert drawing.read_text().startswith("<svg")
    assert run([*ask, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["edges"] == found.edge_count


def test_what_is_measured_is_what_the_methods_measure(
    folder: Path, pairs: Path, edges: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, drawing = tmp_path / "curve.npz", tmp_path / "curve.svg"
    ask = ["circuit", "evaluate", str(edges), "--model", str(folder), "--pairs", str(pairs)]
    assert run([*ask, "--curve", "--out", str(out), "--svg", str(drawing)]) == 0
    text = capsys.readouterr().out
    model, given = assay.load(folder), Circuit.load(edges)
    one = evaluate_circuit(model, pairs_of_ids(4), circuit=given, ablation="counterfactual", metric="logit_diff")
    assert given.scores is not None
    curves = circuit_curves(model, pairs_of_ids(4), scores=given.scores, ablation="counterfactual", metric="logit_diff")
    np.testing.assert_allclose(Result.load(out)["kept"].values, curves["kept"].values, atol=1e-5)  # float32 sums
    assert f"{float(one['recovered'][0, 0]):z,.2f} [" in text and "cpr log" in text and "random 1" in text
    assert "What circuits recover: own" in drawing.read_text()
    assert run([*ask, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["curve"] is None and found["circuit"]["variables"]["recovered"]["shape"] == [6, 3]


def test_mibs_files_are_read(
    folder: Path, pairs: Path, edges: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = write_mib(Circuit.load(edges), tmp_path / "importances.pt", d_model=8)
    texts = []
    for file in (edges, theirs):
        assert (
            run(
                [
                    "circuit",
                    "evaluate",
                    str(file),
                    "--model",
                    str(folder),
                    "--pairs",
                    str(pairs),
                    "--svg",
                    f"{file}.svg",
                ]
            )
            == 0
        )
        texts.append(capsys.readouterr().out.splitlines()[:7])
    assert texts[0] == texts[1]
    assert "edges" in Path(f"{theirs}.svg").read_text()


def test_mistakes_are_one_line(
    folder: Path, pairs: Path, edges: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--model", str(folder), "--pairs", str(pairs)]
    find = ["circuit", "find", "weight_norms", "--fraction", "0.5", "--out", str(tmp_path / "x.json")]
    bare = Circuit.of_edges(Graph.of(assay.load(folder)), ["embed->logits"]).save(tmp_path / "bare.json")
    alien = Circuit.of_edges(Graph.sequential(layers=9, heads=2), ["embed->logits"]).save(tmp_path / "alien.json")
    for ask, message in [
        ([*find, *here, "--set", "granularity"], "expected NAME=VALUE"),
        ([*find, *here, "--set", "size=3"], "'size' is not a setting"),
        (["circuit", "find", "task_accuracy", *find[3:], *here], "task_accuracy gives no scores of its own"),
        ([*find, "--set", "granularity=head", "--model", str(folder)], "either --task NAME or --pairs FILE"),
        (["circuit", "evaluate", str(tmp_path / "no.json"), *here], "There is no file"),
        (["circuit", "evaluate", str(bare), *here, "--curve"], "holds no scores"),
        (["circuit", "evaluate", str(alien), *here], "This circuit is of a graph with 28 senders"),
        (["circuit", "evaluate", str(edges), *here, "--ablation", "none"], "none"),
    ]:
        assert run(ask) == 1, ask
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1, error


def test_another_models_circuit_is_refused(
    folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    ask = ["--model", str(folder), "--pairs", str(pairs)]
    assert (
        run(
            [
                "circuit",
                "find",
                "weight_norms",
                "--fraction",
                "0.5",
                "--set",
                "granularity=head",
                "--out",
                str(out),
                *ask,
            ]
        )
        == 0
    )
    data = json.loads(out.read_text())
    data["provenance"]["model_fingerprint"] = "sha256:0000"
    out.write_text(json.dumps(data))
    capsys.readouterr()
    assert run(["circuit", "evaluate", str(out), *ask]) == 1
    assert "was found in another model" in capsys.readouterr().err


def test_methods_that_can_be_run_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["circuit", "methods", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert {"weight_norms", "patch_heads", "attribution_patching"} <= set(names)
    assert not {"average_scores", "circuit_curves", "task_accuracy"} & set(names)


def test_a_circuit_measured_where_it_was_found_says_so(
    folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "found.json", pairs_of_ids(4, seed=5).to_jsonl(tmp_path / "other.jsonl")
    asked = ["--model", str(folder), "--pairs"]
    find = ["circuit", "find", "weight_norms", *asked, str(pairs), "--fraction", "0.5", "--set", "granularity=head"]
    assert run([*find, "--out", str(out)]) == 0
    capsys.readouterr()
    for file, said in ((pairs, True), (other, False)):
        assert run(["circuit", "evaluate", str(out), *asked, str(file)]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert ("caveat: the circuit was found on 4 of these 4 prompts" in text) == said
