"""Sweeps against a loop over hooks by hand: dimensions, coordinates and every number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.engine import by_hand

from assay import Experiment, Run, edit, metric, sweep
from assay.core.errors import AssayError
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
OTHER = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28]]
VECTOR = torch.linspace(-1, 1, 32).double()


def test_layers_and_positions(llama: Model) -> None:
    experiment = sweep(
        edit.patch("resid_post", source="other"), over=["layer", "pos"],
        inputs={"clean": IDS, "other": OTHER}, base="clean", metrics=[metric.logit_diff(4, 9)],
    )  # fmt: skip
    result = llama.measure(experiment)
    array = result["logit_diff"]
    assert array.dims == ("layer", "pos", "example")
    assert array["layer"].values.tolist() == [0, 1, 2]
    assert array["pos"].values.tolist() == [0, 1, 2, 3, 4]
    sites = [f"L{i}.resid_post" for i in range(3)]
    there = by_hand.run(llama.native, OTHER, keep=sites)[1]
    for layer, pos in itertools.product(range(3), range(5)):
        site = sites[layer]
        logits, _ = by_hand.run(llama.native, IDS, {site: by_hand.put((slice(None), pos), there[site])})
        by_hand.close(torch.tensor(array.sel(layer=layer, pos=pos).values), logits[:, -1, 4] - logits[:, -1, 9])


def test_layers_and_heads_in_the_order_asked_for(llama: Model) -> None:
    experiment = sweep(
        edit.zero("z", pos=-1), over={"head": [3, 0], "layer": None},
        inputs={"clean": IDS[0]}, base="clean", metrics=[metric.logit(4), metric.entropy(pos=None)],
    )  # fmt: skip
    result = llama.measure(experiment)
    assert result["logit"].dims == ("head", "layer")
    assert result["entropy"].dims == ("head", "layer", "pos")
    assert result["logit"]["head"].values.tolist() == [3, 0]
    for head, layer in itertools.product([3, 0], range(3)):
        index = (slice(None), -1, head)
        logits, _ = by_hand.run(llama.native, IDS[:1], {f"L{layer}.z": by_hand.put(index, 0.0)})
        by_hand.close(torch.tensor(result["logit"].sel(head=head, layer=layer).values), logits[0, -1, 4])


def test_sites_and_scales(llama: Model) -> None:
    experiment = sweep(
        edit.add(edit.ANY_SITE, VECTOR), over={"site": ["L0.mlp_out", "L2.attn_out"], "scale": [0.0, 1.5, -2]},
        inputs={"clean": IDS}, base="clean", metrics=[metric.logit(4, reduce_examples="mean")],
    )  # fmt: skip
    array = llama.measure(experiment)["logit"]
    assert array.dims == ("site", "scale")
    assert array["site"].values.tolist() == ["L0.mlp_out", "L2.attn_out"]
    for site, scale in itertools.product(array["site"].values.tolist(), [0.0, 1.5, -2.0]):
        plain = by_hand.run(llama.native, IDS, keep=[site])[1][site]
        logits, _ = by_hand.run(llama.native, IDS, {site: by_hand.give(plain + scale * VECTOR)})
        assert array.sel(site=site, scale=scale).item() == pytest.approx(logits[:, -1, 4].mean().item(), abs=2e-6)


def test_named_positions_as_values(llama: Model) -> None:
    from assay.experiments.inputs import as_input

    given = as_input(IDS, positions={"subject": (1, 3)})
    experiment = sweep(
        edit.zero("mlp_out"), over={"pos": ["subject", "end"], "layer": [1]},
        inputs={"clean": given}, base="clean", metrics=[metric.logit(4)],
    )  # fmt: skip
    array = llama.measure(experiment)["logit"]
    assert array["pos"].values.tolist() == ["subject", "end"]
    for name, places in {"subject": [1, 3], "end": [4, 4]}.items():
        index = ([0, 1], places)
        logits, _ = by_hand.run(llama.native, IDS, {"L1.mlp_out": by_hand.put(index, 0.0)})
        by_hand.close(torch.tensor(array.sel(pos=name, layer=1).values), logits[:, -1, 4])


def test_one_axis_fills_in_all_edits_that_leave_it_open(llama: Model) -> None:
    experiment = sweep(
        [edit.zero("mlp_out"), edit.scale("z", 0.5, head=1)], over=["layer"],
        inputs={"clean": IDS}, base="clean", metrics=[metric.logit(4)],
    )  # fmt: skip
    array = llama.measure(experiment)["logit"]
    for layer in range(3):
        changes = {
            f"L{layer}.mlp_out": torch.zeros_like,
            f"L{layer}.z": lambda x: torch.cat([x[:, :, :1], 0.5 * x[:, :, 1:2], x[:, :, 2:]], 2),
        }
        by_hand.close(torch.tensor(array.sel(layer=layer).values), by_hand.run(llama.native, IDS, changes)[0][:, -1, 4])


def test_runs_downstream_of_a_swept_run_vary_with_it(llama: Model) -> None:
    """The sender is swept; the receiver takes one site of it, and is measured."""
    experiment = Experiment(
        inputs={"clean": IDS, "other": OTHER},
        runs={
            "sender": Run(input="clean", edits=[edit.patch("L0.z", "other")]),
            "receiver": Run(input="clean", edits=[edit.patch("L1.attn_out", "sender")]),
        },
        metrics=[metric.logit(4)],
        main="receiver",
        sweep={"axes": ["head"], "runs": ("sender",)},  # type: ignore[arg-type]
    )
    array = llama.measure(experiment)["logit"]
    assert array.dims == ("head", "example")
    there = by_hand.run(llama.native, OTHER, keep=["L0.z"])[1]["L0.z"]
    for head in range(4):
        index = (slice(None), slice(None), head)
        sent = by_hand.run(llama.native, IDS, {"L0.z": by_hand.put(index, there)}, keep=["L1.attn_out"])[1]
        logits, _ = by_hand.run(llama.native, IDS, {"L1.attn_out": by_hand.give(sent["L1.attn_out"])})
        by_hand.close(torch.tensor(array.sel(head=head).values), logits[:, -1, 4])


def test_captures_of_every_variant_are_kept(llama: Model) -> None:
    swept = Run(input="clean", edits=[edit.zero("mlp_out")], captures=["L2.resid_post"])
    experiment = Experiment(inputs={"clean": IDS}, runs={"main": swept}, sweep={"axes": ["layer", "pos"]})  # type: ignore[arg-type]
    array = llama.measure(experiment)["L2.resid_post"]
    assert array.dims == ("layer", "pos", "example", "position", "d_model")
    _, kept = by_hand.run(
        llama.native,
        IDS,
        {"L1.mlp_out": by_hand.put((slice(None), 2), 0.0)},
        keep=["L2.resid_post"],
    )
    by_hand.close(torch.tensor(array.sel(layer=1, pos=2).values), kept["L2.resid_post"])


def test_what_does_not_vary_has_no_axis_of_the_sweep(llama: Model) -> None:
    experiment = sweep(
        edit.zero("mlp_out"), over=["layer"], inputs={"clean": IDS}, base="clean",
        metrics=[metric.kl("clean"), metric.logit(4, run="clean", name="before")],
    )  # fmt: skip
    result = llama.measure(experiment)
    assert result["before"].dims == ("example",)
    assert result["kl"].dims == ("layer", "example")
    assert (result["kl"] > 0).all()


def test_batches_give_the_same_numbers(llama: Model) -> None:
    many = [[i + 1, 2 * i + 3, i + 7] for i in range(7)]
    experiment = sweep(
        edit.mean("mlp_out", over="clean"),
        over=["layer"],
        inputs={"clean": many},
        base="clean",
        metrics=[metric.loss()],
    )
    whole, some = (llama.measure(experiment, batch=n)["loss"].values for n in (None, 3))
    np.testing.assert_allclose(some, whole, atol=2e-6)


def test_ragged_prompts_keep_their_places(llama: Model) -> None:
    ragged = [[5, 7, 11], [6, 9, 12, 15, 18], [1, 2, 3]]
    experiment = sweep(
        edit.zero("mlp_out", pos=-1), over=["layer"], inputs={"a": ragged}, base="a", metrics=[metric.loss()]
    )
    array = llama.measure(experiment)["loss"]
    assert array.dims == ("layer", "example", "pos")
    assert array.isnull().values[0].tolist() == [[False, False, True, True], [False] * 4, [False, False, True, True]]


@pytest.mark.parametrize(
    ("over", "text"),
    [
        ({"layer": [7]}, "layer 7"),
        ({"head": [9]}, "head"),
        ({"pos": [11]}, "11"),
        (["scale"], "values"),
        (["lyer"], "layer"),
    ],
)
def test_axes_that_are_not_there(llama: Model, over: object, text: str) -> None:
    with pytest.raises(AssayError, match=text):
        llama.measure(sweep(edit.zero("z"), over=over, inputs={"a": IDS}, base="a", metrics=[metric.logit(4)]))  # type: ignore[arg-type]
