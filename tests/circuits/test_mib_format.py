"""MIB's format of circuits and of submissions: files as that benchmark writes them, made by hand."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.mib_format import from_mib_name, read_mib_pt, to_mib, to_mib_name, write_mib
from assay.circuits.submission import PERCENTAGES, read_submission, write_submission
from assay.core.errors import DataError, StorageError
from assay.core.protocols import Scores

ONE = Graph.sequential(layers=1, heads=2)
MIB_JSON = {
    "cfg": {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 16},
    "nodes": {
        "input": {"in_graph": True}, "a0.h0": {"in_graph": False}, "a0.h1": {"in_graph": True},
        "m0": {"in_graph": False}, "logits": {"in_graph": True},
    },
    "edges": {
        "input->a0.h0<q>": {"score": 0.0, "in_graph": False}, "input->a0.h0<k>": {"score": -0.25, "in_graph": False},
        "input->a0.h0<v>": {"score": 0.0, "in_graph": False}, "input->a0.h1<q>": {"score": 0.0, "in_graph": False},
        "input->a0.h1<k>": {"score": 0.0, "in_graph": False}, "input->a0.h1<v>": {"score": 1.5, "in_graph": True},
        "input->m0": {"score": 0.0, "in_graph": False}, "a0.h0->m0": {"score": 0.125, "in_graph": False},
        "a0.h1->m0": {"score": 0.0, "in_graph": False}, "input->logits": {"score": 0.0, "in_graph": False},
        "a0.h0->logits": {"score": 0.0, "in_graph": False}, "a0.h1->logits": {"score": 2.0, "in_graph": True},
        "m0->logits": {"score": 0.0, "in_graph": False},
    },
}  # fmt: skip
"""A whole file as `Graph.to_json` of EAP-IG writes it, of a model with one layer of two heads."""


def mib_pt() -> dict[str, object]:
    """The same as `Graph.to_pt` writes it: rows input, a0.h0, a0.h1, m0; columns q, k, v of both heads, m0, logits."""
    scores = torch.zeros(4, 8)
    scores[0, 5], scores[2, 7], scores[0, 2], scores[1, 6] = 1.5, 2.0, -0.25, 0.125
    inside = torch.zeros(4, 8, dtype=torch.bool)
    inside[0, 5] = inside[2, 7] = True
    return {
        "cfg": MIB_JSON["cfg"],
        "src_nodes": ["input", "a0.h0", "a0.h1", "m0"],
        "dst_nodes": ["a0.h0<q>", "a0.h1<q>", "a0.h0<k>", "a0.h1<k>", "a0.h0<v>", "a0.h1<v>", "m0", "logits"],
        "edges_scores": scores, "edges_in_graph": inside, "nodes_in_graph": torch.tensor([True, False, True, False]),
    }  # fmt: skip


@pytest.fixture
def by_json(tmp_path: Path) -> Path:
    file = tmp_path / "importances.json"
    file.write_text(json.dumps(MIB_JSON))
    return file


@pytest.fixture
def by_pt(tmp_path: Path) -> Path:
    file = tmp_path / "importances.pt"
    torch.save(mib_pt(), file)
    return file


@pytest.mark.parametrize("form", ["by_json", "by_pt"])
def test_a_file_is_read(form: str, request: pytest.FixtureRequest) -> None:
    circuit = Circuit.load(request.getfixturevalue(form))
    assert circuit.edges == ("embed->L0.H1.v", "L0.H1->logits")
    assert circuit.graph == ONE and circuit.scores is not None and len(circuit.scores) == 13
    expected = {"embed->L0.H1.v": 1.5, "L0.H1->logits": 2.0, "embed->L0.H0.k": -0.25, "L0.H0->L0.mlp": 0.125}
    assert {name: circuit.scores[name] for name in expected} == expected


@pytest.mark.parametrize("form", ["json", "pt"])
def test_what_is_written_is_what_was_read(by_json: Path, tmp_path: Path, form: str) -> None:
    circuit = Circuit.load(by_json)
    assert to_mib(circuit, d_model=16) == MIB_JSON
    again = Circuit.load(write_mib(circuit, tmp_path / f"again.{form}", d_model=16))
    assert again.edges == circuit.edges and again.graph == circuit.graph
    assert again.scores is not None and circuit.scores is not None
    assert all(again.scores[name] == circuit.scores[name] for name in circuit.scores.components)


def test_a_pt_file_has_the_tensors_that_mib_reads(by_json: Path, tmp_path: Path) -> None:
    written = torch.load(write_mib(Circuit.load(by_json), tmp_path / "out.pt", d_model=16), weights_only=True)
    for key, value in mib_pt().items():
        assert torch.equal(written[key], value) if isinstance(value, torch.Tensor) else written[key] == value, key


def test_scores_of_nodes_go_there_and_back(tmp_path: Path) -> None:
    scores = Scores.of({"L0.H0": 0.5, "L0.H1": -2.0, "L0.mlp": 1.0}, "nodes")
    circuit = Circuit.of_scores(ONE, scores, size=1, absolute=False)
    for form in ("json", "pt"):
        again = Circuit.load(write_mib(circuit, tmp_path / f"nodes.{form}", d_model=16)).scores
        assert again is not None and dict(zip(again.components, again.values, strict=True)) == dict(
            zip(scores.components, scores.values, strict=True)
        )


def test_files_of_membership_alone_are_read_and_written(tmp_path: Path) -> None:
    circuit = Circuit.of_edges(ONE, ["embed->logits"])
    again = Circuit.load(write_mib(circuit, tmp_path / "1.json", d_model=16, with_scores=False))
    assert again.edges == ("embed->logits",) and again.scores is None
    bare = {key: value for key, value in mib_pt().items() if key != "edges_scores"}
    torch.save(bare, tmp_path / "1.pt")  # as the leaderboard's reader takes it
    found = Circuit.load(tmp_path / "1.pt")
    assert found.edges == ("embed->L0.H1.v", "L0.H1->logits") and found.scores is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("embed", "input"), ("L3.H2", "a3.h2"), ("L0.mlp->L11.H10.q", "m0->a11.h10<q>"), ("L3.mlp->logits", "m3->logits")],
)
def test_names(ours: str, theirs: str) -> None:
    assert to_mib_name(ours) == theirs and from_mib_name(theirs) == ours


def test_names_of_neither_are_refused() -> None:
    with pytest.raises(DataError, match="no name of MIB's format"):
        from_mib_name("blocks.0.attn")
    with pytest.raises(DataError, match="has no name in MIB's format"):
        to_mib_name("L0.KV1.k")


def test_code_in_a_pt_file_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('ran')",))

    file = tmp_path / "bad.pt"
    torch.save({"cfg": Harm()}, file)
    with pytest.raises(StorageError, match="nothing in it was run") as raised:
        Circuit.load(file)
    assert "\n" not in str(raised.value)
    file.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(StorageError, match="nothing in it was run"):
        Circuit.load(file)


def test_other_contents_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "odd.pt"
    torch.save(mib_pt() | {"dst_nodes": list(reversed(mib_pt()["dst_nodes"]))}, file)  # type: ignore[call-overload]
    with pytest.raises(StorageError, match="dst_nodes are not in the order of its graph"):
        read_mib_pt(file)
    torch.save({"cfg": MIB_JSON["cfg"]}, file)
    with pytest.raises(StorageError, match="lacks dst_nodes, edges_in_graph, src_nodes"):
        read_mib_pt(file)
    torch.save(mib_pt() | {"edges_scores": [1.0]}, file)
    with pytest.raises(StorageError, match="its tensors do not fit a graph of 4 senders and 8 receivers"):
        read_mib_pt(file)
    neurons = json.loads(json.dumps(MIB_JSON))
    neurons["nodes"]["m0"]["neurons"] = [True] * 16
    (tmp_path / "neurons.json").write_text(json.dumps(neurons))
    with pytest.raises(DataError, match="is of neurons"):
        Circuit.load(tmp_path / "neurons.json")
    (tmp_path / "huge.json").write_text(json.dumps(MIB_JSON | {"cfg": {**MIB_JSON["cfg"], "n_layers": 10**9}}))  # type: ignore[dict-item]
    with pytest.raises(StorageError, match="no such model can be read"):
        Circuit.load(tmp_path / "huge.json")


def test_grouped_graphs_can_not_be_written(tmp_path: Path) -> None:
    grouped = Graph.sequential(layers=1, heads=4, kv_heads=2, grouped=True)
    with pytest.raises(DataError, match="grouped=False"):
        write_mib(Circuit.of_edges(grouped, ["embed->logits"]), tmp_path / "x.json", d_model=16)


# -- submissions ---------------------------------------------------------------------------------------------------------

GPT2 = Graph.sequential(layers=12, heads=12)
WIDTHS = {"gpt2": 768, "qwen2.5": 896}


def with_scores() -> Circuit:
    values = np.random.default_rng(0).normal(size=GPT2.edge_count)
    return Circuit.of_scores(GPT2, Scores(GPT2.edges, values, "made up"), size=100, absolute=True)


def test_a_submission_of_scores_has_a_folder_for_each_column(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    circuit = with_scores()
    left = write_submission(folder, {"ioi_gpt2": circuit, "mcqa_qwen2.5": circuit}, d_model=WIDTHS, form="pt")
    assert left == []
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.pt")) == [
        "ioi_gpt2/importances.pt", "mcqa_qwen2.5/importances.pt",
    ]  # fmt: skip
    again = read_submission(folder)["ioi_gpt2"]
    assert isinstance(again, Circuit) and (again.mask == circuit.mask).all()
    assert write_submission(folder, {"ioi_gpt2": circuit}, d_model=WIDTHS) == [
        "1 task only: the leaderboard wants at least two tasks",
        "1 model only: the leaderboard wants at least two models",
    ]


def test_a_submission_of_nine_circuits(tmp_path: Path) -> None:
    scores = with_scores().scores
    assert scores is not None
    nine = [
        Circuit.of_scores(GPT2, scores, size=int(float(p) / 100 * GPT2.edge_count), absolute=True) for p in PERCENTAGES
    ]
    write_submission(tmp_path / "nine", {"ioi_gpt2": nine}, d_model=WIDTHS)
    files = {path.name for path in (tmp_path / "nine" / "ioi_gpt2").iterdir()}
    assert files == {f"{p}.json" for p in PERCENTAGES}
    assert "score" not in (tmp_path / "nine/ioi_gpt2/1.json").read_text()
    again = read_submission(tmp_path / "nine")["ioi_gpt2"]
    assert isinstance(again, list) and [c.edge_count for c in again] == [c.edge_count for c in nine]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"ioi-gpt2": Circuit.of_edges(GPT2, [])}, r"'ioi-gpt2' is no column .*Nearest: ioi_gpt2"),
        ({"ioi_gpt2": Circuit.of_edges(GPT2, [])}, "a single circuit needs the scores"),
        ({"ioi_gpt2": [Circuit.of_edges(GPT2, [])] * 3}, "3 circuits; nine are wanted"),
        ({"ioi_gpt2": [Circuit(GPT2, GPT2.allowed.copy())] * 9}, "for 0.1 % has 32,491 edges; at most 32 may be in"),
        ({"ioi_llama3": [Circuit.of_edges(GPT2, [])] * 9}, "The width of llama3 is not given"),
    ],
)
def test_what_the_leaderboard_would_refuse_is_refused(tmp_path: Path, entries, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_submission(tmp_path / "bad", entries, d_model=WIDTHS)
    assert not (tmp_path / "bad").exists()
