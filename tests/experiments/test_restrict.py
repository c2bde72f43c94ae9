"""Parts of an experiment: what can be taken apart, what is left out, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assay import Experiment, Run, edit, metric
from assay.core.errors import ExperimentError
from assay.experiments.inputs import as_input
from assay.experiments.restrict import restrict, why_together


def experiment(*edits: Any, over: Any = None, **more: Any) -> Experiment:
    return Experiment(
        inputs={
            "clean": as_input(["a b", "a c", "a d"], positions={"here": [0, 1, 0]}, answers=[4, 5, 6], wrong=[7]),
            "other": ["b b", "b c", "b d"],
            "ref": ["x", "y"],
            "one": ["z"],
        },
        runs={"main": Run(input="clean", edits=edits), "sides": Run(input="one")},
        metrics=[metric.logit_diff(reduce_examples="mean"), metric.logit([1, 2, 3], name="other")],
        main="main",
        sweep={"axes": {"layer": [0, 1, 2], "pos": [0, 1]}} if over is None else over,
        **more,
    )


def test_axes_keep_their_order_and_names() -> None:
    found = restrict(experiment(edit.zero("z")), axes={"pos": [1], "layer": [2, 0]})
    assert found.sweep is not None
    assert [(axis.name, axis.values) for axis in found.sweep.axes] == [("layer", (2, 0)), ("pos", (1,))]
    assert found.metrics[0].reduce_examples == "mean"
    with pytest.raises(ExperimentError, match=r"'poss' is no axis of this sweep: it has layer, pos\. Nearest: pos"):
        restrict(experiment(edit.zero("z")), axes={"poss": [1]})


def test_examples_take_what_is_theirs_along() -> None:
    whole = experiment(edit.patch("z", source="other"), edit.mean("mlp_out", over="ref"))
    found = restrict(whole, examples=[2, 0])
    clean: Any = found.inputs["clean"]
    assert clean.texts == ("a d", "a b") and clean.positions == {"here": (0, 0)}
    assert clean.answers == (6, 4) and clean.wrong == (7,)
    assert found.inputs["other"].texts == ("b d", "b b")  # type: ignore[union-attr]
    assert found.inputs["ref"] == whole.inputs["ref"] and found.inputs["one"] == whole.inputs["one"]
    assert found.metrics[0].reduce_examples == "none" and found.metrics[1].answer == (3, 1)  # type: ignore[union-attr]
    assert Experiment.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("edits", "together", "why"),
    [
        ([edit.zero("z")], "never", ""),
        ([edit.patch("z", source="other"), edit.add("z", [1.0])], "never", ""),
        ([edit.mean("z", over="ref")], "never", ""),
        ([edit.mean("z", over="one")], "never", ""),
        ([edit.resample("z", source="other")], "of one length", "draws from the other examples"),
        ([edit.mean("z", over="clean")], "always", "the mean over 'clean' is of all its examples"),
        ([edit.mean("z", over="other"), edit.patch("v", source="other")], "always", "the mean over 'other'"),
        ([edit.noise("z", std=1.0)], "always", "draws for each example by its number"),
        ([edit.zero("z", examples=[0, 2])], "always", "names examples"),
        ([edit.set("z", torch.zeros(3, 1, 4, 8))], "always", "may have a value for each example"),
    ],
)
def test_which_examples_belong_together(edits: list[Any], together: str, why: str) -> None:
    whole = experiment(*edits)
    assert why_together(whole)[0] == together
    assert why in why_together(whole)[1]
    if together == "always":
        with pytest.raises(ExperimentError, match="belong together"):
            restrict(whole, examples=[0])
    else:
        restrict(whole, examples=[0])


def test_a_sweep_over_examples_and_functions() -> None:
    swept = experiment(edit.zero("L0.z"), over={"axes": {"examples": [0, 1]}})
    assert why_together(swept) == ("always", "the sweep runs over examples by their numbers")
    called = experiment(edit.zero("z"), edit.call("L0.z", torch.zeros_like))
    assert why_together(called)[0] == "always"
