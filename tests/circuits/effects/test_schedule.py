"""Effects give the naive engine's numbers, and take no more token-layers than it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import mediated_effects, pairwise_interactions, self_repair
from assay.circuits.contrast import Contrast
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit, metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

EXACT = 1e-6  # the metric is kept in single precision
ASKED: dict[str, Any] = {"ablation": "counterfactual", "metric": "logit_diff", "nodes": ("L1.H0", "L2.mlp", "L2.H3")}
GRID = tuple(f"L{layer}.{part}" for layer in (0, 1, 2) for part in ("H0", "H1", "H2", "mlp"))
"""Heads of every layer, and MLPs: each kind is one sweep."""


@pytest.mark.parametrize(
    ("method", "nodes"),
    [
        *((method, ASKED["nodes"]) for method in (mediated_effects, self_repair, pairwise_interactions)),
        (mediated_effects, GRID),
        (self_repair, GRID),
    ],
)
def test_the_schedule_gives_the_naive_numbers_with_no_more_work(
    method: Callable[..., Result], nodes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pairs = tiny_llama(), pairs_of_ids(4)
    fast = method(model, pairs, **(ASKED | {"nodes": nodes}))
    measure = Model.measure
    monkeypatch.setattr(Model, "measure", lambda *given, **more: measure(*given, **(more | {"engine": "naive"})))
    slow = method(model, pairs, **(ASKED | {"nodes": nodes}))
    for name in fast.names:
        np.testing.assert_allclose(fast[name].values, slow[name].values, atol=EXACT, err_msg=name)
    assert 0 < fast.cost.token_layers <= slow.cost.token_layers


@pytest.mark.parametrize("method", [mediated_effects, self_repair])
def test_parts_that_fill_a_grid_are_one_sweep_from_their_layers_on(method: Callable[..., Result]) -> None:
    """Three heads and the MLP of every layer. A naive engine takes a pass for each run of each part; here a run begins at its
    part's layer and first changed position, but for those that read another run which varies (`indirect`)."""
    model, pairs = tiny_llama(), pairs_of_ids(4)
    found = method(model, pairs, **(ASKED | {"nodes": GRID}))
    runs, share = (3, 0.75) if method is mediated_effects else (4, 0.5)
    naive = len(GRID) * runs * model.n_layers * sum(pairs.lengths)
    assert found.cost.token_layers < share * naive
    assert any(fact.startswith("engine: scheduled") for fact in found.provenance.facts)
    assert list(found.data["node"].values) == list(GRID)


def by_hand(model: Model, pairs: Pairs, node: str) -> dict[str, np.ndarray]:
    """Both methods' definitions for one part, written out as runs of the naive engine: whole layers are held, not heads."""
    layer, part = int(node[1]), node.split(".")[1]
    site, where = (f"L{layer}.mlp_out", {}) if part == "mlp" else (f"L{layer}.z", {"head": int(part[1:])})
    gone, scale = edit.patch(site, source="corrupt", **where), edit.freeze("final_norm_scale", "clean")  # type: ignore[arg-type]

    def later(source: str) -> list[Edit]:
        own = [] if part == "mlp" else [f"L{layer}.mlp_out"]
        after = [f"L{i}.{name}" for i in range(layer + 1, model.n_layers) for name in ("attn_out", "mlp_out")]
        return [edit.patch(each, source=source) for each in (*own, *after)]

    edits = {
        "gone": [gone], "held": [gone, *later("clean")], "through": later("gone"),
        "frozen": [gone, *later("clean"), scale], "unscaled": [gone, scale],
    }  # fmt: skip
    runs = {name: Run(input="clean", edits=each) for name, each in edits.items()}
    metrics = [metric.logit_diff(name=f"of {name}", run=name) for name in ("clean", *runs)]
    experiment = Experiment(inputs=Contrast(pairs).inputs, runs=runs, metrics=metrics, main="gone")
    found = model.measure(experiment, engine="naive").data
    clean, gone_, held, through, frozen, unscaled = (found[f"of {name}"].values for name in ("clean", *runs))
    total, direct, indirect = clean - gone_, clean - held, clean - through
    return {
        "total": total, "direct": direct, "indirect": indirect, "interaction": total - direct - indirect,
        "before": clean - frozen, "after": total, "repaired": gone_ - frozen, "by_parts": unscaled - frozen,
        "by_norm": gone_ - unscaled, "by_norm_first": held - frozen,
    }  # fmt: skip


@pytest.mark.parametrize("method", [mediated_effects, self_repair])
def test_a_grid_has_each_parts_numbers_by_hand(method: Callable[..., Result]) -> None:
    model, pairs = tiny_llama(), pairs_of_ids(4)
    data = method(model, pairs, **(ASKED | {"nodes": GRID})).data
    for node in GRID:
        wanted = by_hand(model, pairs, node)
        for name in data.data_vars:
            if name != "clean":
                found = data[name].sel(node=node).values
                np.testing.assert_allclose(found, wanted[str(name)], atol=EXACT, err_msg=f"{name} of {node}")
    spread = data.drop_vars("clean").std("node").mean("example")
    assert all(float(each) > 1e-4 for each in spread.values()), "parts told apart: a wrong order would be seen"
