"""Passes of whose output nothing is read end at the last site that is, counted in token-layers and operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.engine.schedule.test_schedule import LENGTHS, agree, model_of, pair
from transformers import T5Config, T5ForConditionalGeneration

import assay
from assay import Experiment, Run, capture, edit, metric, sweep
from assay.engine.costs import Costs

ALL = sum(LENGTHS)
ALONE = ["early"]


def looked(*captures: Any, edits: Any = (), **more: Any) -> Experiment:
    """One run, of which only sites are read."""
    return Experiment(inputs=pair(0, 3), runs={"main": Run(input="clean", captures=captures, edits=edits)}, **more)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mixtral", "mamba", "bert"])
@pytest.mark.parametrize(
    ("site", "blocks"),
    [("embed", 0), ("L1.resid_pre", 1), ("L1.resid_mid", 2), ("L0.mlp_out", 1), ("L1.resid_post", 2)],
)
def test_one_site_costs_the_blocks_up_to_it(name: str, site: str, blocks: int) -> None:
    model = model_of(name)
    if model.why_not(site) is not None:
        pytest.skip(f"{name} has no {site}")
    slow, fast = agree(name, looked(site))
    _, off = agree(name, looked(site), without=ALONE)
    assert fast.cost.token_layers == blocks * ALL
    assert off.cost.token_layers == slow.cost.token_layers == model.n_layers * ALL
    costs = Costs(model.network, model.network.structure.main_chain)
    pairs = sum(n * (n + 1) // 2 for n in LENGTHS)
    assert fast.cost.flops == pytest.approx(ALL * sum(costs.blocks[:blocks]) + pairs * sum(costs.meeting[:blocks]))
    plan = model.explain(looked(site))
    assert (plan.token_layers, plan.naive_token_layers) == (fast.cost.token_layers, slow.cost.token_layers)
    assert plan.work.flops == pytest.approx(fast.cost.flops)
    assert f"main after {blocks}" in str(plan) and "no logits are computed" in str(plan)


def test_a_source_ends_where_it_is_read_and_the_run_that_is_measured_does_not() -> None:
    experiment = Experiment(
        inputs=pair(0, 3),
        runs={"main": Run(input="clean", edits=edit.patch("L0.mlp_out", source="corrupt"))},
        metrics=[metric.logit_diff(7, 8)],
    )
    slow, fast = agree("llama", experiment)
    layers = model_of("llama").n_layers
    assert slow.cost.token_layers - fast.cost.token_layers == (layers - 1) * ALL


def test_a_run_that_another_is_compared_with_goes_on_to_its_output() -> None:
    experiment = looked("L0.mlp_out", edits=edit.zero("L0.z")).model_copy(
        update={"metrics": (metric.kl(to="corrupt").model_copy(update={"name": "kl"}),)}
    )
    slow, fast = agree("llama", experiment)
    assert fast.cost.token_layers == slow.cost.token_layers


def test_metrics_at_sites_and_their_gradients_need_no_output() -> None:
    direction = [1.0] * model_of("llama").d_model
    dot = metric.dot("L1.resid_post", direction, pos=-1)
    experiment = looked(capture.grad("L0.resid_post", of=dot), metrics=[dot])
    slow, fast = agree("llama", experiment)
    layers = model_of("llama").n_layers
    assert slow.cost.token_layers - fast.cost.token_layers == (layers - 2) * ALL
    assert model_of("llama").explain(experiment).token_layers == fast.cost.token_layers


def test_an_edit_after_what_is_read_changes_nothing() -> None:
    agree("llama", looked("L0.mlp_out", edits=[edit.zero("L1.mlp_out"), edit.scale("L0.z", factor=2.0)]))


@pytest.mark.parametrize("after", ["final_norm", "logits"])
def test_sites_after_the_blocks_are_reached(after: str) -> None:
    slow, fast = agree("llama", looked("L0.mlp_out", after))
    assert fast.cost.token_layers == slow.cost.token_layers


def test_an_encoders_sites_do_not_end_the_pass() -> None:
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 3, "num_heads": 4, "vocab_size": 40}
    model = assay.load(T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).eval())
    run = Run(input="clean", captures=["enc.L0.mlp_out"])
    experiment = Experiment(inputs={"clean": [[5, 6, 7]]}, runs={"main": run})
    slow, fast = model.measure(experiment, engine="naive"), model.measure(experiment)
    np.testing.assert_array_equal(slow["enc.L0.mlp_out"].values, fast["enc.L0.mlp_out"].values)
    assert fast.cost.token_layers == slow.cost.token_layers


def test_a_fixed_run_of_a_sweep_ends_where_it_is_read() -> None:
    experiment = sweep(
        edit.patch("resid_post", source="sender"),
        over={"layer": [0], "pos": [0, 3]},
        inputs=pair(0, 3),
        runs={"sender": Run(input="clean", edits=edit.patch("L0.z", source="corrupt", head=0))},
        base="clean",
        metrics=[metric.logit_diff(7, 8)],
    )
    _, on = agree("llama", experiment)
    _, off = agree("llama", experiment, without=ALONE)
    assert off.cost.token_layers - on.cost.token_layers == (model_of("llama").n_layers - 1) * ALL
    plan = model_of("llama").explain(experiment)
    assert plan.token_layers >= on.cost.token_layers


def test_swept_passes_end_at_the_last_block_that_is_read() -> None:
    direction = [1.0] * model_of("llama").d_model
    experiment = sweep(
        edit.patch("resid_pre", source="corrupt"),
        over={"layer": [0], "pos": [0, 3]},
        inputs=pair(0, 3),
        base="clean",
        metrics=[metric.dot("L0.mlp_out", direction, pos=-1)],
    )
    _, on = agree("llama", experiment)
    _, off = agree("llama", experiment, without=ALONE)
    assert off.cost.token_layers > on.cost.token_layers
