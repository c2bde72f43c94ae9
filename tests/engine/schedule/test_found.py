"""Experiments on which the schedule once gave other numbers than the naive engine, or none."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.schedule.test_schedule import agree, ids, model_of, pair
from tests.tiny_pairs import tiny_llama
from torch import Tensor, nn

import assay
from assay import Experiment, Run, capture, edit, metric
from assay.core.errors import ExperimentError
from assay.engine.model import Model

LD = metric.logit_diff(7, 8)
PATCH = edit.patch("mlp_out", source="corrupt")


def swept(metrics: Any, edits: Any = PATCH, *, inputs: Any = None, **runs: Run) -> Experiment:
    """Layers of `edits` in the run main, beside runs that do not vary."""
    return Experiment(
        inputs=inputs or pair(0, 3),
        runs={"main": Run(input="clean", edits=edits), **runs},
        main="main",
        metrics=metrics,
        sweep={"axes": {"layer": [0, 1]}},
    )


def without_a_sweep(*metrics: Any, **inputs: Any) -> Experiment:
    runs = {"main": Run(input="clean", edits=[edit.zero("L0.mlp_out")])}
    return Experiment(inputs=inputs or pair(0, 3), runs=runs, main="main", metrics=metrics)


@pytest.mark.parametrize(
    ("other", "metrics"),
    [
        (Run(input="clean", edits=[edit.zero("L0.mlp_out")], captures=["logits"]), [LD]),
        (
            Run(input="clean", edits=[edit.scale("logits", factor=2.0, dims=[7, 30])]),
            [LD, metric.logit(7, run="other")],
        ),
        (Run(input="clean", edits=[edit.zero("L0.mlp_out")]), [LD, metric.norm("logits", run="other")]),
        (Run(input="clean", captures=[capture.grad("logits", of=LD)]), [LD]),
        (Run(input="clean", captures=[capture.grad("L0.resid_post", of=metric.kl(to="corrupt", pos=-2))]), [LD]),
    ],
    ids=["kept", "edited", "measured", "gradient", "gradient of a comparison"],
)
def test_runs_that_do_not_vary_have_the_logits_that_are_read_of_them(other: Run, metrics: Any) -> None:
    agree("llama", swept(metrics, other=other))


def test_a_comparison_reads_the_other_run_at_its_own_positions() -> None:
    """Prompts of other length or with names elsewhere: −1 is each prompt's last position, a name each prompt's own."""
    clean = {"kind": "tokens", "tokens": [[5, 6, 7, 8, 9]], "positions": {"there": [1], "mine": [2]}}
    other = {"kind": "tokens", "tokens": [[5, 6, 9, 8, 9, 11, 12, 13]], "positions": {"there": [3]}}
    places = {-1: 7, "there": 3, "mine": 2}
    metrics = [metric.kl(to="other", pos=pos, name=f"at {pos}") for pos in places]
    slow, _ = agree("llama", without_a_sweep(*metrics, clean=clean, other=other))
    agree("llama", swept(metrics, edit.zero("mlp_out"), inputs={"clean": clean, "other": other}))
    model = model_of("llama")
    here = model.run([[5, 6, 7, 8, 9]], edits=edit.zero("L0.mlp_out")).logits[0].double().log_softmax(-1)
    there = model.run([[5, 6, 9, 8, 9, 11, 12, 13]]).logits[0].double().log_softmax(-1)
    for pos, other_place in places.items():
        own = {-1: 4, "there": 1, "mine": 2}[pos]
        wanted = (there[other_place].exp() * (there[other_place] - here[own])).sum()
        assert slow[f"at {pos}"].item() == pytest.approx(float(wanted), rel=1e-6)


def test_a_comparison_with_a_run_that_varies_is_read_the_other_way_round() -> None:
    with pytest.raises(ExperimentError, match=r"metric\.reverse_kl\(to='corrupt', run='main'\)"):
        swept([metric.kl(to="main", run="corrupt")])


@pytest.mark.parametrize(
    "edits",
    [
        [edit.patch("resid_post", source="corrupt"), edit.noise("resid_post", std=0.5, seed=3, pos=slice(1, None))],
        [edit.patch("resid_post", source="other"), edit.scale("mlp_out", factor=1.5, pos=-1)],
        [edit.patch("head_out", source="other"), edit.scale("mlp_out", factor=1.5, pos=-1)],
    ],
    ids=["their order", "a source that goes on otherwise", "a source whose heads are changed"],
)
def test_edits_said_elsewhere_are_the_same(edits: Any) -> None:
    other = Run(input="corrupt", edits=[edit.zero("L1.resid_pre", pos=-1), edit.noise("L0.head_out", std=0.5, seed=1)])
    agree("llama", swept([LD], edits, other=other))


def test_what_heads_make_is_kept_as_it_was_where_it_is_read() -> None:
    agree("llama", swept([LD, metric.norm("L0.z", pos=3)], edit.patch("head_out", source="corrupt", head=0)))


@pytest.mark.parametrize("without", [(), ("position",)])
def test_as_many_examples_as_rotary_dimensions(without: tuple[str, ...]) -> None:
    """Phi's rotary tables are [1, pos, 4], and there are four examples."""
    rows = {name: [row[:5] for row in found] for name, found in pair(0, 3).items()}
    agree("phi", swept([LD], inputs=rows), without=list(without))


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "MarianMTModel", "LlavaForConditionalGeneration"])
def test_models_that_take_more_than_tokens_are_measured(name: str) -> None:
    native, inputs = zoo.build(name)
    model = assay.load(native)
    experiment = Experiment(inputs={"x": inputs}, runs={"main": Run(input="x")}, main="main", metrics=[LD])
    slow, fast = (model.measure(experiment, engine=engine)["logit_diff"].values for engine in ("naive", "scheduled"))
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)


def same_in_both(model: Model, experiment: Experiment) -> None:
    slow, fast = (model.measure(experiment, engine=engine)["logit_diff"].values for engine in ("naive", "scheduled"))
    np.testing.assert_allclose(fast, slow, rtol=1e-8)


@pytest.mark.parametrize("how", ["a head with its own forward", "probabilities", "positions"])
def test_what_is_put_into_a_model_later_is_tried_again(how: str) -> None:
    native: Any = zoo.build("llama")[0].double()
    model = assay.load(native)
    same_in_both(model, swept([LD]))
    head = native.lm_head
    if how == "a head with its own forward":
        head.forward = lambda x: 2 * nn.Linear.forward(head, x)
    elif how == "probabilities":
        head.register_forward_hook(lambda m, a, out: out.softmax(-1))
    else:
        native.model.layers[1].mlp.register_forward_hook(lambda m, a, out: out.cumsum(1))
    same_in_both(model, swept([LD]))


@pytest.mark.parametrize(
    ("site", "function"),
    [
        ("L1.mlp_out", lambda x: x * torch.arange(x.shape[1], dtype=x.dtype)[None, :, None]),
        ("logits", lambda x: x.softmax(-1)),
        ("final_norm", lambda x: x.cumsum(1)),
    ],
)
def test_functions_at_sites_see_whole_prompts(site: str, function: Callable[[Tensor], Tensor]) -> None:
    model = tiny_llama()
    for experiment in (swept([LD]), without_a_sweep(LD)):
        with model.hooked({site: function}):
            same_in_both(model, experiment)
            assert model.explain(experiment).engine == "naive"
        assert any("scheduled, " in fact for fact in model.measure(swept([LD])).provenance.facts)


def test_threads_measure_one_model() -> None:
    native = zoo.build("llama")[0].double()
    model = assay.load(native)
    experiments = [swept([LD]), swept([metric.entropy(name="logit_diff")]), without_a_sweep(LD)]
    wanted = [model.measure(experiment, engine="naive")["logit_diff"].values for experiment in experiments]
    found: list[tuple[int, Any]] = []

    def work(number: int) -> None:
        for _ in range(3):
            found.append((number, model.measure(experiments[number])))

    threads = [Thread(target=work, args=(number % 3,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 15
    for number, result in found:
        np.testing.assert_allclose(result["logit_diff"].values, wanted[number], rtol=0, atol=1e-10)
        assert not [fact for fact in result.provenance.facts if "could not be used" in fact]


def test_the_plan_of_runs_without_a_sweep_counts_what_is_unembedded() -> None:
    model = model_of("llama")
    experiment = without_a_sweep(LD, metric.logit(9, pos=[0, 2], name="more"))
    plan, result = model.explain(experiment), model.measure(experiment)
    assert result.cost.flops == pytest.approx(plan.work.flops) and plan.work.flops < plan.naive.flops
    assert "logits of named tokens only" in str(plan) and "whole passes" in str(plan)
    off = ["unembed", "vocab"]
    assert model.explain(experiment, without=off).work.flops == plan.naive.flops
    assert model.measure(experiment, without=off).cost.flops == pytest.approx(plan.naive.flops)


def test_the_plan_counts_means_and_answers_of_several_tokens() -> None:
    model = model_of("llama")
    metrics = [LD, metric.logit(9, pos=0, name="more"), metric.logprob([[7, 8]] * 4, run="corrupt", name="several")]
    experiment = swept(metrics, [PATCH, edit.mean("L0.v", over="corrupt", pos=-1)])
    plan, result = model.explain(experiment), model.measure(experiment)
    assert plan.passes == result.cost.passes and plan.token_layers == result.cost.token_layers
    assert result.cost.flops is not None and result.cost.flops <= plan.work.flops <= 1.05 * result.cost.flops
    assert ids(0)  # prompts of two lengths
