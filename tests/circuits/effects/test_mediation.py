"""Direct and mediated effects: identities that hold whatever the model, and a model in which everything adds up."""

from __future__ import annotations

import numpy as np
import pytest
from tests.circuits.effects.hand_made import either_head, linear_gpt2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.contrast import Contrast
from assay.circuits.effects import mediated_effects
from assay.core.errors import DataError
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

EXACT = 1e-9  # double precision, a few layers

PAIRS = pairs_of_ids(3)
NODES = ("embed", "L0.H1", "L0.mlp", "L1.attn", "L1.H3")


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_the_three_parts_add_up_to_the_total(build) -> None:
    data = mediated_effects(build(), PAIRS, nodes=NODES, ablation="counterfactual", metric="logit_diff").data
    assert list(data["node"].values) == list(NODES)
    total = data["direct"] + data["indirect"] + data["interaction"]
    np.testing.assert_allclose(total.values, data["total"].values, atol=EXACT)
    assert float(np.abs(data["interaction"]).max()) > 1e-4  # else the identity says nothing


def test_the_total_is_the_whole_effect_of_the_embedding() -> None:
    """All of the embedding by the counterfactual's is the counterfactual run, and nothing at the last position is direct."""
    model = tiny_llama()
    data = mediated_effects(model, PAIRS, nodes=("embed",), ablation="counterfactual", metric="logit_diff").data
    runs = Experiment(
        inputs=Contrast(PAIRS).inputs, main="clean",
        metrics=[metric.logit_diff(name=name, run=name) for name in ("clean", "corrupt")],
    )  # fmt: skip
    plain = model.measure(runs).data
    np.testing.assert_allclose(data["total"].values[0], (plain["clean"] - plain["corrupt"]).values, atol=EXACT)
    np.testing.assert_allclose(data["direct"].values, 0, atol=EXACT)  # the token that differs is not the last


def test_each_effect_is_the_run_that_its_name_says() -> None:
    """Written out once more by hand, for one head and one mediator."""
    model = tiny_llama()
    data = mediated_effects(
        model, PAIRS, nodes=("L0.H1",), mediators=("L1.mlp",), ablation="zero", metric="logit_diff"
    ).data
    gone = edit.zero("L0.z", head=1)
    runs = {
        "gone": Run(input="clean", edits=[gone]),
        "direct": Run(input="clean", edits=[gone, edit.patch("L1.mlp_out", source="clean")]),
        "indirect": Run(input="clean", edits=[edit.patch("L1.mlp_out", source="gone")]),
    }
    metrics = [metric.logit_diff(name=f"of {name}", run=name) for name in ("clean", *runs)]
    by_hand = model.measure(Experiment(inputs=Contrast(PAIRS).inputs, runs=runs, metrics=metrics, main="gone")).data
    for ours, theirs in (("total", "gone"), ("direct", "direct"), ("indirect", "indirect")):
        expected = (by_hand["of clean"] - by_hand[f"of {theirs}"]).values
        np.testing.assert_allclose(data[ours].values[0], expected, atol=EXACT)
        assert np.abs(expected).max() > 1e-4


def test_where_effects_add_up_there_is_no_interaction() -> None:
    data = mediated_effects(linear_gpt2(), PAIRS, nodes=NODES[:-1], ablation="counterfactual", metric="logit_diff").data
    np.testing.assert_allclose(data["interaction"].values, 0, atol=EXACT)
    assert float(np.abs(data["indirect"]).max()) > 1e-3


def test_two_heads_that_each_suffice_interact_in_what_reads_them() -> None:
    """Both heads together go through the MLP alone: the whole effect is indirect."""
    model, pairs = either_head()
    data = mediated_effects(
        model, pairs, nodes=("L0.attn",), mediators=("L0.mlp",), ablation="counterfactual", metric="logit_diff"
    ).data
    for name, expected in (("total", 1), ("direct", 0), ("indirect", 1), ("interaction", 0)):
        np.testing.assert_allclose(data[name].values, expected, atol=EXACT)


@pytest.mark.parametrize(
    ("nodes", "mediators", "message"),
    [
        (("L1.H0",), ("L0.mlp",), "L0.mlp does not come after L1.H0"),
        (("L1.H0",), ("L1.H0",), "L1.H0 does not come after L1.H0"),
        (("L1.H0.q",), None, "'L1.H0.q' is not a part: expected embed, a head such as L3.H2"),
        (("L1.H0", "L1.H0"), None, "L1.H0 is named twice"),
        ((), None, "0 parts were named; at least 1"),
    ],
)
def test_what_can_not_be_asked_is_refused(nodes, mediators, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mediated_effects(tiny_llama(), PAIRS, nodes=nodes, mediators=mediators, ablation="zero", metric="logit_diff")
