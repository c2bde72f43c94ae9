"""A circuit as a result: made of edges or scores, saved, loaded, and put on a model's own graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_pairs import tiny_llama

from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.core.errors import DataError, StorageError
from assay.core.protocols import Scores
from assay.core.provenance import Provenance

SMALL = Graph.sequential(layers=2, heads=2)
PATH = ("embed->L0.H1.v", "L0.H1->L1.mlp", "L1.mlp->logits")


def scored() -> Circuit:
    values = np.random.default_rng(0).normal(size=SMALL.edge_count)
    return Circuit.of_scores(
        SMALL, Scores(SMALL.edges, values, "made up"), size=20, absolute=True, facts=("found on ioi",),
        provenance=Provenance(model_source="gpt2"),
    )  # fmt: skip


def test_it_knows_its_edges_and_nodes() -> None:
    circuit = Circuit.of_edges(SMALL, [*PATH, "L1.H0->logits"])
    assert circuit.edge_count == 4 and circuit.pruned().edges == PATH
    assert circuit.nodes == ("embed", "L0.H1", "L1.H0", "L1.mlp")


def test_it_says_how_it_was_chosen() -> None:
    circuit = scored()
    assert (
        circuit.facts[0] == f"the 20 best of 46 edges by absolute score (top); {circuit.edge_count} edges after pruning"
    )
    assert circuit.facts[-1] == "found on ioi" and circuit.edge_count <= 20
    empty = Circuit.of_scores(SMALL, Scores.of({PATH[1]: 1.0}, "one"), size=1, absolute=False)
    assert not empty.edge_count and empty.facts[-1].startswith("caveat: no edge is left")


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    circuit = scored()
    again = Circuit.load(circuit.save(tmp_path / "found.json"))
    assert again.graph == circuit.graph and (again.mask == circuit.mask).all()
    assert again.scores is not None and circuit.scores is not None
    assert (again.scores.values == circuit.scores.values).all()  # bit for bit
    assert (again.facts, again.provenance) == (circuit.facts, circuit.provenance)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is no circuit: expected 'assay_circuit'"),
        ('{"assay_circuit": 99}', "reads up to 1: upgrade assay"),
        ('{"assay_circuit": 1, "graph": {}}', r"This circuit is damaged \(KeyError"),
    ],
)
def test_damaged_files_are_told_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(StorageError, match=message) as raised:
        Circuit.load(file)
    assert "\n" not in str(raised.value)
    with pytest.raises(StorageError, match="There is no file"):
        Circuit.load(tmp_path / "nowhere.json")


def test_edges_that_the_graph_has_not_are_refused(tmp_path: Path) -> None:
    data = scored().to_json() | {"edges": ["L1.mlp->L0.mlp"]}
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match="is not an edge of this graph"):
        Circuit.load(file)


def test_a_circuit_from_a_file_fits_the_model_that_shares_keys() -> None:
    """MIB's format does not say which heads share keys; counted for each query head, the names are the same."""
    model = Graph.of(tiny_llama())
    plain = Graph.sequential(layers=3, heads=4)
    assert model != plain
    assert Circuit.of_edges(plain, ["embed->L0.H3.k"]).on(model).graph == model
    with pytest.raises(DataError, match="the model's has 16, 40 and"):
        Circuit.of_edges(SMALL, PATH).on(model)
    with pytest.raises(DataError, match="the same way to count shared keys"):
        Circuit.of_edges(plain, ["embed->L0.H3.k"]).on(Graph.of(tiny_llama(), grouped=True))


def test_scores_stand_at_their_edges() -> None:
    circuit = Circuit.of_edges(SMALL, PATH, scores=Scores.of({PATH[0]: 2.0, PATH[2]: -1.0}, "two"))
    table = circuit.score_table()
    assert (
        table[SMALL.index(PATH[0])] == 2
        and table[SMALL.index(PATH[2])] == -1
        and np.isnan(table).sum() == table.size - 2
    )
    by_node = Circuit.of_edges(SMALL, PATH, scores=Scores.of({"L0.H1": 3.0}, "node")).score_table()
    assert by_node[SMALL.index("L0.H1->logits")] == 3 and np.isnan(by_node[SMALL.index(PATH[0])])
