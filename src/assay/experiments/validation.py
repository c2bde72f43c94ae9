"""Whether the parts of an experiment fit each other: names, answers, and what its sweep leaves open.

What needs the model (sites, shapes, lengths, tokens) is checked in `check.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from assay.core.errors import ExperimentError, nearest
from assay.experiments.axes import AXES, NUMBER_AXES
from assay.experiments.captures import GradCapture
from assay.experiments.edge_edits import Edges
from assay.experiments.edits import ANY_SITE, Edit
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

if TYPE_CHECKING:
    from assay.experiments.experiment import Experiment

_GIVEN_OR_SWEPT = {"set": "value", "scale": "factor", "noise": "std"}
"""Operations with a number that must be given, unless a sweep gives it."""


def named_metrics(value: Any) -> Any:
    """The metrics with a name each: their own, or their kind with a number where it is taken already."""
    metrics = [value] if isinstance(value, Metric | str) or callable(value) else value
    for each in metrics if isinstance(metrics, list | tuple) else ():
        if isinstance(each, str) or callable(each):
            how = f"metric.{each}(…)" if isinstance(each, str) else "metric.call(function)"
            raise ExperimentError(f"{each!r} is no metric: expected one made with assay's metric, such as {how}.")
    if not isinstance(metrics, list | tuple) or not all(isinstance(metric, Metric) for metric in metrics):
        return metrics
    explicit = [metric.name for metric in metrics if metric.name is not None]
    for name in explicit:
        if explicit.count(name) > 1:
            raise ExperimentError(f"two metrics are called {name!r}: give one of them another `name=`.")
    taken = set(explicit)
    return tuple(metric if metric.name else _numbered(metric, taken) for metric in metrics)


def _numbered(metric: Metric, taken: set[str]) -> Metric:
    names = (metric.kind if number == 1 else f"{metric.kind}_{number}" for number in range(1, len(taken) + 2))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return metric.model_copy(update={"name": name})


def check_parts(experiment: Experiment) -> None:
    """Raise an ExperimentError for the first part that does not fit the others."""
    for name, run in experiment.runs.items():
        _check_run(experiment, name, run)
    known = [*experiment.runs, *experiment.inputs]
    _known(experiment.main, known, "main is")
    for metric in experiment.metrics:
        _check_metric(experiment, metric, known)
    _check_sweep(experiment)
    _check_comparisons(experiment)


def _check_comparisons(experiment: Experiment) -> None:
    """A metric has a number for every variant only where its own run varies."""
    varying = experiment.varying() if experiment.sweep is not None else frozenset()
    for metric in experiment.metrics:
        read = metric.run or experiment.main
        if metric.other_run in varying and read not in varying:
            opposite = {"kl": "reverse_kl", "reverse_kl": "kl"}.get(metric.kind, metric.kind)
            raise ExperimentError(
                f"the metric {metric.name!r} compares {read!r}, which is the same in all variants, with "
                f"{metric.other_run!r}, which the sweep varies: read it the other way round, "
                f"metric.{opposite}(to={read!r}, run={metric.other_run!r})."
            )


def _check_run(experiment: Experiment, name: str, run: Run) -> None:
    if run.input not in experiment.inputs:
        raise ExperimentError(
            f"the run {name!r} reads the input {run.input!r}, which does not exist: there are "
            f"{_listed(experiment.inputs)}.{nearest(run.input, experiment.inputs)}"
        )
    if name in experiment.inputs and (run.edits or run.input != name):
        raise ExperimentError(
            f"{name!r} is the name of an input and of a run that changes something: which of them would "
            f"source={name!r} mean? Rename the run."
        )
    for edit in run.edits:
        if edit.source_run is not None:
            _known(edit.source_run, [*experiment.runs, *experiment.inputs], f"{edit.op} at {edit.site!r} takes from")
    edges = [edit for edit in run.edits if isinstance(edit, Edges)]
    if len(edges) > 1:
        raise ExperimentError(f"the run {name!r} has {len(edges)} edits of edges: put all edges into one.")
    for capture in run.captures:
        if isinstance(capture, GradCapture):
            if edges:
                raise ExperimentError(
                    f"the run {name!r} captures gradients and has {edges[0]}: take them in another run."
                )
            _check_gradient(experiment, name, capture)


def _check_gradient(experiment: Experiment, name: str, capture: GradCapture) -> None:
    if capture.of.run not in (None, name):
        raise ExperimentError(
            f"the gradient at {capture.site!r} in the run {name!r} is of a metric of the run {capture.of.run!r}: "
            "capture it in that run, or leave out the metric's run."
        )
    known = [*experiment.runs, *experiment.inputs]
    _check_metric(experiment, capture.of.model_copy(update={"run": name}), known)


def _check_metric(experiment: Experiment, metric: Metric, known: list[str]) -> None:
    what = f"the metric {metric.name or metric.kind!r}"
    if metric.run is not None:
        _known(metric.run, known, f"{what} reads")
    if metric.other_run is not None:
        _known(metric.other_run, known, f"{what} compares with")
    name = experiment.run(metric.run or experiment.main).input
    for field in metric.needs_from_input:
        if getattr(experiment.inputs[name], "answers" if field == "answer" else "wrong") is None:
            raise ExperimentError(
                f"{what} has no {field!r}, and the input {name!r} brings none: give {field}= to the metric, or "
                f"{'answers' if field == 'answer' else 'wrong'}= to the input."
            )


def _check_sweep(experiment: Experiment) -> None:
    axes = experiment.sweep.names if experiment.sweep else ()
    for metric in experiment.metrics:
        if metric.name in axes:
            raise ExperimentError(
                f"the metric {metric.name!r} is called as an axis of the sweep, which its result could not hold: give it "
                "another `name=`."
            )
    for name in experiment.swept():
        if name not in experiment.runs:
            raise ExperimentError(
                f"the sweep varies the run {name!r}, which is not among the runs: there are "
                f"{_listed(experiment.runs)}.{nearest(name, experiment.runs)}"
            )
    swept = [edit for name in experiment.swept() for edit in experiment.runs[name].edits]
    for axis in axes:
        if not any(edit.is_free(axis) for edit in swept):
            raise ExperimentError(_nothing_free(axis, swept, experiment.swept()))
    for name, run in experiment.runs.items():
        filled = axes if name in experiment.swept() else ()
        for edit in run.edits:
            _check_complete(edit, name, filled)


def _nothing_free(axis: str, edits: Iterable[Edit], runs: tuple[str, ...]) -> str:
    edits = list(edits)
    free = [name for name in AXES if name not in NUMBER_AXES and any(edit.is_free(name) for edit in edits)]
    numbers = [name for edit in edits for name in edit.numbers if edit.is_free(name)]
    shown = "; ".join(str(edit) for edit in edits) or "none"
    return (
        f"no edit of {_listed(runs)} leaves {axis!r} free for the sweep: the edits are {shown}. They leave free: "
        f"{', '.join(dict.fromkeys([*free, *numbers])) or 'nothing'}. Leave {axis!r} out of an edit, or drop the axis."
    )


def _check_complete(edit: Edit, run: str, axes: tuple[str, ...]) -> None:
    if edit.site == ANY_SITE and "site" not in axes:
        raise ExperimentError(f"the edit {edit} of the run {run!r} names no site: only a sweep over 'site' gives one.")
    number = _GIVEN_OR_SWEPT.get(edit.op)
    if number is not None and getattr(edit, number) is None and number not in axes:
        raise ExperimentError(f"the edit {edit} of the run {run!r} needs {number}=, or a sweep over {number!r}.")


def _known(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise ExperimentError(
            f"{what} {name!r}, which is neither a run nor an input: there are {_listed(dict.fromkeys(known))}."
            f"{nearest(name, known)}"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
