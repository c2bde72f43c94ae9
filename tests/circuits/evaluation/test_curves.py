"""Curves and single circuits, run on small models."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.circuit import Circuit
from assay.circuits.evaluation import circuit_completeness, circuit_curves, evaluate_circuit, parted
from assay.circuits.evaluation.held_out import shared
from assay.circuits.graph import Graph
from assay.circuits.running import run_circuits
from assay.circuits.sets import keep_each
from assay.core.caveats import caveats_in
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.training.planted import situation

EXACT = 1e-9
PAIRS = pairs_of_ids(4)
MODEL = tiny_llama()
GRAPH = Graph.of(MODEL)
FRACTIONS = (0.2, 0.5, 1.0)


def edge_scores() -> Scores:
    return Scores(GRAPH.edges, np.random.default_rng(0).normal(size=GRAPH.edge_count), "random numbers")


@pytest.fixture(scope="module")
def curves():
    return circuit_curves(
        MODEL, PAIRS, scores=edge_scores(), ablation="counterfactual", metric="logit_diff", fractions=FRACTIONS
    )


def test_every_point_is_the_run_of_its_circuit(curves) -> None:
    scores = edge_scores()
    for absolute, name in ((False, "signed"), (True, "absolute")):
        best = scores.top(int(0.5 * GRAPH.edge_count), absolute=absolute)
        mask = GRAPH.prune(GRAPH.mask(best))
        run = run_circuits(MODEL, PAIRS, [mask], graph=GRAPH, ablation="counterfactual", metrics="logit_diff")
        here = curves.data.sel(ranking=name, fraction=0.5)
        np.testing.assert_allclose(here["kept"].values, run["logit_diff"][0], atol=EXACT)
        assert int(here["edges"]) == mask.sum()
        expected = (here["kept"] - curves["empty"]).mean() / (curves["whole"] - curves["empty"]).mean()
        assert float(here["recovered"].sel(bound="value")) == pytest.approx(float(expected), abs=EXACT)


def test_all_edges_are_the_whole_model(curves) -> None:
    whole = curves.data.sel(fraction=1.0)
    np.testing.assert_allclose(whole["recovered"].values, 1, atol=EXACT)
    np.testing.assert_allclose(whole["kl"].values, 0, atol=1e-7)
    assert (whole["correct"].values == curves["whole_correct"].values).all()
    assert set(whole["edges"].values) == {GRAPH.edge_count}


def test_the_result_says_what_was_done(curves) -> None:
    facts = " | ".join(curves.provenance.facts)
    for part in ("the value in the paired counterfactual prompt", "scores: random numbers", "4 prompts of own, 2 templates",
                 "CPR ", "CMD ", "random circuits: CPR", "edges at 90 % recovery"):  # fmt: skip
        assert part in facts, part
    assert list(curves.data["ranking"].values) == ["signed", "absolute", "random 0", "random 1"]


def test_scores_of_heads_keep_sets_of_heads() -> None:
    """The same sets by another road: heads ablated at their output, MLPs never."""
    rng = np.random.default_rng(1)
    heads = [f"L{layer}.H{head}" for layer in range(3) for head in range(4)]
    unscored = Scores(tuple(heads), rng.normal(size=12), "heads")
    data = circuit_curves(
        MODEL, PAIRS, scores=unscored, ablation="counterfactual", metric="logit_diff", fractions=(0.25, 0.5, 1.0),
        random_circuits=0,
    ).data  # fmt: skip
    sets = [unscored.top(k) for k in (3, 6, 12)]
    expected = keep_each(MODEL, PAIRS, sets, heads=heads, ablation="counterfactual").difference
    np.testing.assert_allclose(data["kept"].sel(ranking="signed").values, expected, atol=EXACT)


def test_less_of_the_metric_can_be_more_of_the_behaviour() -> None:
    """KL to the clean run: 0 for the whole model, and counted negatively."""
    data = circuit_curves(
        tiny_gpt2(), PAIRS, scores=Scores(Graph.of(tiny_gpt2()).edges, np.arange(110.0), "order"), ablation="zero",
        metric={"kind": "kl", "to": "clean"}, fractions=(0.5, 1.0), random_circuits=0, cluster="template",
    ).data  # fmt: skip
    assert (data["kept"].values <= 1e-9).all() and (data["empty"].values < 0).all()
    np.testing.assert_allclose(data["recovered"].sel(fraction=1.0).values, 1, atol=1e-6)


def test_random_circuits_of_a_planted_all_or_nothing_model_get_mibs_random_row() -> None:
    """Run for real: with any edge of the circuit missing nothing is left of the behaviour."""
    planted = situation("all or nothing")
    graph = Graph.of(planted.model)
    truth = planted.truth("counterfactual").edges
    scores = Scores(graph.edges, np.array([float(edge in truth) for edge in graph.edges]), "the truth")
    data = circuit_curves(
        planted.model, planted.pairs, scores=scores, ablation="counterfactual", metric="logit_diff", random_circuits=4
    ).data
    random = data["summary"].sel(bound="value", ranking=[f"random {i}" for i in range(4)])
    assert float(random.sel(quantity="cpr").median()) == pytest.approx(0.25, abs=0.01)
    assert float(random.sel(quantity="cmd").median()) == pytest.approx(0.75, abs=0.01)
    known = data["summary"].sel(bound="value", ranking="signed")
    assert float(known.sel(quantity="cpr")) == pytest.approx(0.3 / 2 + 0.5)  # nothing at 20 % of 23 edges, all at 50 %
    assert len(truth) <= float(known.sel(quantity="size_95")) <= 11


def test_without_the_negative_head_more_than_everything_is_recovered() -> None:
    planted = situation("negative head")
    graph = Graph.of(planted.model)
    truth = planted.truth("counterfactual").edges
    against = {edge for edge in truth if edge.startswith("L1.H0->")}
    values = np.array([-1.0 if edge in against else float(edge in truth) for edge in graph.edges])
    found = circuit_curves(
        planted.model, planted.pairs, scores=Scores(graph.edges, values, "the truth, signed"), ablation="counterfactual",
        metric="logit_diff", random_circuits=0,
    )  # fmt: skip
    summary = found["summary"].sel(bound="value")
    assert float(found["recovered"].sel(ranking="signed", bound="value").max()) > 1.1
    assert float(summary.sel(ranking="signed", quantity="cpr")) > float(summary.sel(ranking="absolute", quantity="cpr"))
    assert float(summary.sel(ranking="signed", quantity="cmd")) > float(summary.sel(ranking="absolute", quantity="cmd"))
    assert any("more than the whole model" in fact for fact in found.provenance.facts)


def test_no_gap_is_one_line() -> None:
    same = Pairs(tuple(e.model_copy(update={"corrupt": e.clean}) for e in PAIRS)).align(None)
    with pytest.raises(DataError, match="there is no gap to recover") as raised:
        circuit_curves(
            MODEL, same, scores=edge_scores(), ablation="counterfactual", metric="logit_diff", fractions=FRACTIONS
        )
    assert "\n" not in str(raised.value)


# -- one circuit ---------------------------------------------------------------------------------------------------------


def test_the_whole_graph_recovers_everything_on_every_template() -> None:
    circuit = Circuit(GRAPH, GRAPH.allowed.copy(), facts=("by hand",))
    found = evaluate_circuit(
        MODEL, PAIRS, circuit=circuit, ablation="counterfactual", metric="logit_diff", random_circuits=1
    )
    np.testing.assert_allclose(found["recovered"].values, 1, atol=EXACT)
    np.testing.assert_allclose(found["recovered_in"].values, 1, atol=EXACT)
    assert list(found["recovered_in"]["each_template"].values) == ["t0", "t1"]
    assert "by hand" in found.provenance.facts


def test_an_empty_circuit_recovers_nothing() -> None:
    found = evaluate_circuit(
        MODEL,
        PAIRS,
        circuit=Circuit.of_edges(GRAPH, []),
        ablation="counterfactual",
        metric="logit_diff",
        random_circuits=1,
    )
    np.testing.assert_allclose(found["recovered"].values, 0, atol=EXACT)
    assert any("0 of 262 edges recover 0.00" in fact for fact in found.provenance.facts)
    assert caveats_in(found.provenance.facts)[0] == "the circuit is empty: every edge is cut"


def test_edges_on_no_path_are_told_and_not_counted() -> None:
    how = {"ablation": "counterfactual", "metric": "logit_diff"}
    found = evaluate_circuit(
        MODEL, PAIRS, circuit=Circuit.of_edges(GRAPH, ["embed->logits", "L0.H0->L0.mlp"]), random_circuits=1, **how
    )
    told = "1 edges lie on no path from the embedding to the logits: they are not counted"
    assert int(found["edges"][0]) == 1 and told in caveats_in(found.provenance.facts)
    complete = circuit_completeness(
        MODEL, PAIRS, circuit=Circuit.of_edges(GRAPH, []), random_sets=0, greedy_steps=0, **how
    )
    assert "the circuit is empty: every edge is cut" in caveats_in(complete.provenance.facts)


def test_random_circuits_have_as_many_edges_and_hang_together() -> None:
    circuit = Circuit.of_scores(GRAPH, edge_scores(), size=120, absolute=True)
    found = evaluate_circuit(
        MODEL, PAIRS, circuit=circuit, ablation="counterfactual", metric="logit_diff", random_circuits=4
    )
    assert int(found["edges"][0]) == circuit.edge_count
    assert all(0 <= int(n) - circuit.edge_count <= 40 for n in found["edges"][1:])
    again = evaluate_circuit(
        MODEL, PAIRS, circuit=circuit, ablation="counterfactual", metric="logit_diff", random_circuits=4
    )
    assert (again["kept"].values == found["kept"].values).all()


# -- held out ------------------------------------------------------------------------------------------------------------


def named(*rows: tuple[str, tuple[str, ...]]) -> Pairs:
    return Pairs(tuple(Example(clean=f"{i}", corrupt=f"{i}!", template=t, names=n) for i, (t, n) in enumerate(rows)))


def test_parted_pairs_share_nothing() -> None:
    pairs = named(*[(f"t{i % 4}", (f"n{i % 5}", f"n{(i + 1) % 5}")) for i in range(40)])
    for by in ("template", "name"):
        found_on, held = parted(pairs, by=by, share=0.6)  # type: ignore[arg-type]
        assert f"0 of {len({e.template for e in held})} {by}s" in shared(found_on, held) or by == "name"
        assert shared(found_on, held).endswith(f"0 of {len(held)} prompts")
    first, second = parted(pairs, by="name", share=0.6)
    assert not {n for e in first for n in e.names} & {n for e in second for n in e.names}


def test_what_can_not_be_parted_is_refused() -> None:
    with pytest.raises(DataError, match="have 1 templates: at least two"):
        parted(named(("t", ()), ("t", ())), by="template")
    with pytest.raises(DataError, match="one side has no prompts"):
        parted(named(("t", ("a", "b")), ("t", ("b", "a"))), by="name")
