"""What an experiment refuses when it is made, without a model: names, circles, and a sweep that sweeps nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from assay.core.errors import ExperimentError, InputError, ShapeError, SiteError
from assay.experiments import capture, edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.sweep import Sweep, sweep

INPUTS = {"clean": "a b", "corrupt": "a c"}


def made(**parts: Any) -> Experiment:
    return Experiment(**{"inputs": INPUTS, "main": "clean", **parts})


def patched(source: str, run: str = "clean") -> Run:
    return Run(input=run, edits=edit.patch("L0.z", source))


def test_runs_come_after_what_they_need_whatever_order_they_are_given_in() -> None:
    runs = {"third": patched("second"), "second": patched("first"), "first": patched("corrupt")}
    order = made(runs=runs, main="third").order()
    assert order == ("corrupt", "first", "second", "third")
    assert made(runs=dict(reversed(runs.items())), main="third").order() == order


def test_what_only_metrics_read_is_run_too() -> None:
    exp = made(metrics=[metric.kl("corrupt"), metric.entropy(run="corrupt")])
    assert set(exp.order()) == {"clean", "corrupt"}


@pytest.mark.parametrize(
    ("runs", "circle"),
    [
        ({"a": patched("a")}, "a -> a"),
        ({"a": patched("b"), "b": patched("a")}, "a -> b -> a"),
        ({"a": patched("c"), "b": patched("a"), "c": patched("b")}, "a -> c -> b -> a"),
    ],
)
def test_circles_are_shown(runs: dict[str, Run], circle: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        made(runs=runs, main="a")
    assert str(caught.value) == (
        f"runs take values from each other in a circle: {circle}. Let one of them take its value from an input."
    )


def test_a_gradient_of_a_comparison_can_close_a_circle() -> None:
    of = metric.kl("a")
    with pytest.raises(ExperimentError, match="in a circle: a -> a"):
        made(runs={"a": Run(input="clean", captures=[capture.grad("L0.z", of=of)])}, main="a")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"runs": {"a": Run(input="claen")}},
         "the run 'a' reads the input 'claen', which does not exist: there are 'clean', 'corrupt'. "
         "Nearest: clean."),
        ({"runs": {"a": patched("corupt")}},
         "patch at 'L0.z' takes from 'corupt', which is neither a run nor an input: there are 'a', "
         "'clean', 'corrupt'. Nearest: corrupt."),
        ({"main": "claen"}, "main is 'claen', which is neither a run nor an input"),
        ({"metrics": [metric.entropy(run="cleen")]}, "the metric 'entropy' reads 'cleen'"),
        ({"metrics": [metric.kl("cleen", name="far")]}, "the metric 'far' compares with 'cleen'"),
        ({"main": None, "inputs": INPUTS}, "which run is the main one? There are 'clean', 'corrupt': give main="),
        ({"runs": {"clean": patched("corrupt")}}, "'clean' is the name of an input and of a run that changes something"),
        ({"metrics": [metric.entropy(name="x"), metric.loss(name="x")]}, "two metrics are called 'x'"),
        ({"metrics": [metric.logit_diff(" x")]}, "the metric 'logit_diff' has no 'wrong', and the input 'clean' brings none"),
        ({"runs": {"a": Run(input="clean", edits=edit.scale("L0.z"))}},
         "the edit scale L0.z of the run 'a' needs factor=, or a sweep over 'factor'"),
        ({"runs": {"a": Run(input="clean", edits=edit.zero("*"))}},
         "the edit zero * of the run 'a' names no site: only a sweep over 'site' gives one."),
        ({"runs": {"a": Run(input="clean", captures=[capture.grad("z", of=metric.entropy(run="corrupt"))])}},
         "the gradient at 'z' in the run 'a' is of a metric of the run 'corrupt'"),
    ],
)  # fmt: skip
def test_names_that_lead_nowhere(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        made(**parts)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_captures_of_one_name_are_refused() -> None:
    with pytest.raises(ExperimentError, match=r"two captures are called 'L0\.z'"):
        Run(input="clean", captures=["L0.z", capture.site("blocks.0.attn.hook_z", pos=0)])


def test_the_main_run_is_found_when_there_is_only_one() -> None:
    assert Experiment(inputs={"only": "a"}).main == "only"
    assert Experiment(inputs=INPUTS, runs={"changed": patched("corrupt")}).main == "changed"
    assert Experiment(inputs=INPUTS, runs={"main": patched("b"), "b": patched("corrupt")}).main == "main"


def test_metrics_of_one_kind_are_numbered() -> None:
    exp = made(metrics=[metric.entropy(), metric.entropy(pos=0), metric.loss(name="entropy_2"), metric.entropy(pos=1)])
    assert [each.name for each in exp.metrics] == ["entropy", "entropy_3", "entropy_2", "entropy_4"]


@pytest.mark.parametrize(
    ("edits", "over", "message"),
    [
        (edit.zero("L0.z"), "layer", "no edit of 'swept' leaves 'layer' free for the sweep: the edits are zero L0.z. They "
         "leave free: pos, head, dims, examples, step."),
        (edit.zero("z", pos=slice(None)), "pos", "leaves 'pos' free"),
        (edit.zero("z"), {"scale": [1.0]}, "leaves 'scale' free"),
        (edit.add("z", [1.0], scale=2.0), {"scale": [1.0]}, "leaves 'scale' free"),
        (edit.zero("z"), "layers", "'layers' is not an axis of a sweep: expected one of site, layer, pos"),
        (edit.zero("z"), "dims", "the axis 'dims' needs its values: give over={'dims': [...]}."),
        (edit.zero("z"), {"layer": []}, "the values of the axis 'layer' must be a list that is not empty"),
        (edit.zero("z"), {"layer": [0, 1, 0]}, "the axis 'layer' has the value 0 twice"),
        (edit.zero("z"), ["layer", "layer"], "the sweep has the axis 'layer' twice"),
        (edit.zero("z"), {"layer": [0.5]}, "0.5 is not a value for the axis 'layer': expected indices"),
        (edit.zero("z"), {"layer": [True]}, "True is not a value for the axis 'layer'"),
        (edit.zero("z"), {"head": ["a"]}, "'a' is not a value for the axis 'head'"),
        (edit.zero("*"), {"site": ["L0.q", 3]}, "3 is not a value for the axis 'site': expected site names"),
        (edit.scale("z"), {"factor": ["big"]}, "'big' is not a value for the axis 'factor': expected numbers"),
    ],
)  # fmt: skip
def test_sweeps_that_vary_nothing(edits: Any, over: Any, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        sweep(edits, over, inputs=INPUTS, base="clean", metrics=[metric.entropy()])
    assert message in str(caught.value)


def test_a_sweep_of_runs_that_do_not_exist() -> None:
    with pytest.raises(ExperimentError, match=r"the sweep varies the run 'sweept'.*Nearest: swept"):
        made(runs={"swept": patched("corrupt")}, main="swept", sweep=Sweep(axes=["pos"], runs=["sweept"]))


def test_an_experiment_is_frozen() -> None:
    exp = made()
    with pytest.raises(ValidationError, match="frozen"):
        exp.main = "corrupt"  # type: ignore[misc]


def test_equal_content_is_equal_and_hashes_to_the_same() -> None:
    one, other = (made(runs={"a": Run(input="clean", edits=edit.add("L0.z", torch.ones(4)))}) for _ in range(2))
    assert one == other and one.hash == other.hash


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: edit.zero("L0.ressid_post"), SiteError, "Nearest: resid_post"),
        (lambda: edit.zero("L0.logits"), SiteError, "lies outside the layers"),
        (lambda: edit.set("z", float("nan")), ExperimentError, "set at 'z': NaN in place of a number: give a finite one."),
        (lambda: edit.set("z", [1.0, float("nan")]), ExperimentError, "1 of 2 values, the first at [1]"),
        (lambda: edit.add("z", torch.tensor([[0.0, float("nan")]])), ExperimentError,
         "add at 'z': NaN in a tensor of shape [1, 2]: 1 of 2 values, the first at [0, 1]"),
        (lambda: edit.add("z", "text"), ExperimentError, "str cannot be attached: expected a tensor"),
        (lambda: edit.add("z", [[1.0], [1.0, 2.0]]), ExperimentError, "rows of different length"),
        (lambda: edit.clamp("z", min=2, max=1), ExperimentError, "clamp at 'z': min 2.0 is above max 1.0"),
        (lambda: edit.noise("z", -1.0), ExperimentError, "noise at 'z': std"),
        (lambda: edit.project_out("z", torch.ones(2, 3, 4)), ShapeError, "directions have shape [2, 3, 4]: expected [k, d]"),
        (lambda: edit.swap("z", "a", basis=torch.ones(2, 3)), ShapeError, "Transpose it if directions are its rows."),
        (lambda: edit.feature("z", "folder", values={}), ExperimentError, "feature at 'z': values"),
        (lambda: edit.feature("z", "folder", values={-1: 1.0}), ExperimentError, "feature at 'z'"),
        (lambda: edit.zero("z", pos=[]), ExperimentError, "an empty list selects nothing"),
        (lambda: edit.zero("z", pos=1.5), ExperimentError, "1.5 does not select anything"),
        (lambda: edit.zero("z", head="first"), ExperimentError, "'first' does not select anything: expected an index"),
        (lambda: edit.zero("z", head=slice("a", None)), ExperimentError, "only positions have names"),
        (lambda: edit.zero("z", pos=slice(None, None, -1)), ExperimentError, "a slice goes forwards"),
        (lambda: edit.zero("z", position=1), ExperimentError, "Nearest: pos"),
        (lambda: metric.logit(""), ExperimentError, "'' is not an answer"),
        (lambda: metric.logit(1.5), ExperimentError, "1.5 is not an answer"),
        (lambda: metric.logit(-1), ExperimentError, "-1 is not an answer"),
        (lambda: metric.entropy(reduce="median"), ExperimentError, "'none', 'mean', 'sum', 'min' or 'max'"),
        (lambda: metric.dot("L0.z", torch.ones(2, 3)), ShapeError, "one vector. Make one metric for each direction."),
        (lambda: capture.site("L0.z", dtype="int8"), ExperimentError, "'float32', 'float16' or 'bfloat16'"),
        (lambda: Experiment(inputs={"a": []}), InputError, "an empty list is not an input"),
        (lambda: Experiment(inputs={"a": 3.5}), InputError, "float is not an input: expected a text"),
    ],
)  # fmt: skip
def test_parts_that_make_no_sense(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert message in str(caught.value)


def test_edits_say_briefly_what_they_are() -> None:
    assert (
        str(edit.patch("L5.z", "corrupt", pos=["end", 0], head=slice(0, 3)))
        == "patch L5.z pos=[end,0] head=0:3 from corrupt"
    )


def test_names_of_other_libraries_are_normalised() -> None:
    assert edit.zero("blocks.3.hook_resid_post").site == "L3.resid_post"
    assert metric.norm("mlps_output[2]").site == "L2.mlp_out"
    assert capture.site("hook_embed").label == "embed"


def test_every_metric_is_read_at_the_last_position_but_loss() -> None:
    read: dict[str, Metric] = {"entropy": metric.entropy(), "loss": metric.loss()}
    assert {name: each.pos for name, each in read.items()} == {"entropy": -1, "loss": None}


def test_a_metric_is_not_called_as_an_axis() -> None:
    with pytest.raises(ExperimentError, match="the metric 'layer' is called as an axis of the sweep"):
        sweep(edit.zero("z"), ["layer"], inputs={"a": "x"}, base="a", metrics=[metric.logit(" y", name="layer")])
