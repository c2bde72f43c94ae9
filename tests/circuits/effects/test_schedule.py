"""Effects give the naive engine's numbers, and take no more token-layers than it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import mediated_effects, pairwise_interactions, self_repair
from assay.core.result import Result
from assay.engine.model import Model

EXACT = 1e-6  # the metric is kept in single precision
ASKED: dict[str, Any] = {"ablation": "counterfactual", "metric": "logit_diff", "nodes": ("L1.H0", "L2.mlp", "L2.H3")}


@pytest.mark.parametrize("method", [mediated_effects, self_repair, pairwise_interactions])
def test_the_schedule_gives_the_naive_numbers_with_no_more_work(
    method: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pairs = tiny_llama(), pairs_of_ids(4)
    fast = method(model, pairs, **ASKED)
    measure = Model.measure
    monkeypatch.setattr(Model, "measure", lambda *given, **more: measure(*given, **(more | {"engine": "naive"})))
    slow = method(model, pairs, **ASKED)
    for name in fast.names:
        np.testing.assert_allclose(fast[name].values, slow[name].values, atol=EXACT, err_msg=name)
    assert 0 < fast.cost.token_layers <= slow.cost.token_layers


@pytest.mark.parametrize("method", [mediated_effects, self_repair])
def test_parts_that_fill_a_grid_are_one_sweep_from_their_layers_on(method: Callable[..., Result]) -> None:
    """Three heads and the MLP of every layer. A naive engine takes a pass for each run of each part; here a run begins at its
    part's layer and first changed position, but for those that read another run which varies (`indirect`)."""
    model, pairs = tiny_llama(), pairs_of_ids(4)
    nodes = tuple(f"L{layer}.{part}" for layer in (0, 1, 2) for part in ("H0", "H1", "H2", "mlp"))
    found = method(model, pairs, **(ASKED | {"nodes": nodes}))
    runs, share = (3, 0.75) if method is mediated_effects else (4, 0.5)
    naive = len(nodes) * runs * model.n_layers * sum(pairs.lengths)
    assert found.cost.token_layers < share * naive
    assert any(fact.startswith("engine: scheduled") for fact in found.provenance.facts)
    assert list(found.data["node"].values) == list(nodes)
