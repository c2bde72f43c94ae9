"""A part of an experiment, as an experiment of its own: some values of its sweep's axes, some of its examples.

Variants never touch each other, so any part of a sweep can be run anywhere. Examples touch each other where a value is
taken over all of them (`mean`), drawn from the others (`resample`, among those of the same length), or bound to an
example's number (`noise`, `examples=`): `why_together` says so. Reductions over examples are left to whoever joins the
parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from assay.core.attachments import Attachment
from assay.core.errors import ExperimentError, nearest
from assay.experiments.axes import Axis, Sweep
from assay.experiments.captures import GradCapture
from assay.experiments.edits import Edit
from assay.experiments.executed import executed
from assay.experiments.experiment import Experiment
from assay.experiments.graph import topological
from assay.experiments.inputs import Chats, Input, ModelInputs, Texts, Tokens
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Mean, Resample

Values = Sequence[int | float | str]
Together = Literal["never", "of one length", "always"]
"""Which examples must stay in one part."""


def restrict(
    experiment: Experiment, *, axes: Mapping[str, Values] | None = None, examples: Sequence[int] | None = None
) -> Experiment:
    """The experiment with these values of its sweep's axes, and these examples in this order; None is all.

    An input with a single example stands for all, and stays. With `examples`, metrics no longer reduce over them.

    Raises:
        ExperimentError: an axis that is not swept, or examples that cannot be taken apart.
    """
    parts: dict[str, Any] = {}
    if axes:
        parts["sweep"] = _swept(experiment, axes)
    if examples is not None:
        parts |= _of_examples(experiment, list(examples))
    return experiment.model_copy(update=parts)


def why_together(experiment: Experiment) -> tuple[Together, str]:
    """Which examples must stay together, and why."""
    if experiment.local_only:
        return "always", "it holds a Python function, which may look at all of them"
    edits = [edit for name in experiment.order() for edit in experiment.run(name).edits]
    most = max(given.examples for given in experiment.inputs.values())
    for edit in edits:
        if edit.op == "noise":
            return "always", f"{edit} draws for each example by its number"
        if edit.examples is not None:
            return "always", f"{edit} names examples by their numbers"
        if _may_run_over_examples(edit, most):
            return "always", f"{edit} may have a value for each example"
    if experiment.sweep is not None and "examples" in experiment.sweep.names:
        return "always", "the sweep runs over examples by their numbers"
    shared = averaged_inputs(experiment) & run_inputs(experiment)
    if shared := {name for name in shared if experiment.inputs[name].examples > 1}:
        return "always", f"the mean over {min(shared)!r} is of all its examples"
    if drawn := [edit for edit in edits if isinstance(edit, Resample)]:
        return "of one length", f"{drawn[0]} draws from the other examples of the same length"
    return "never", ""


def averaged_inputs(experiment: Experiment) -> set[str]:
    """The inputs over all of whose examples a mean is taken."""
    over = [e.over for name in experiment.order() for e in experiment.run(name).edits if isinstance(e, Mean)]
    return {experiment.run(name).input for name in topological(over, experiment.sources)} if over else set()


def run_inputs(experiment: Experiment) -> set[str]:
    """The inputs that are run example by example: all but those of which a mean alone is taken."""
    return {experiment.run(name).input for name in executed(experiment)}


def _may_run_over_examples(edit: Edit, most: int) -> bool:
    """Whether an edit brings a tensor whose first axis may be that of the examples."""
    tensors = [getattr(edit, name) for name in ("value", "vector") if hasattr(edit, name)]
    return any(isinstance(t, Attachment) and len(t.shape) > 1 and 1 < t.shape[0] <= most for t in tensors)


def _swept(experiment: Experiment, axes: Mapping[str, Values]) -> Sweep:
    names = () if experiment.sweep is None else experiment.sweep.names
    if unknown := [name for name in axes if name not in names]:
        raise ExperimentError(
            f"{unknown[0]!r} is no axis of this sweep: it has {', '.join(names) or 'none'}.{nearest(unknown[0], names)}"
        )
    assert experiment.sweep is not None
    chosen = tuple(
        Axis(name=axis.name, values=axes[axis.name]) if axis.name in axes else axis for axis in experiment.sweep.axes
    )
    return experiment.sweep.model_copy(update={"axes": chosen})


def _of_examples(experiment: Experiment, examples: list[int]) -> dict[str, Any]:
    together, why = why_together(experiment)
    if together == "always":
        raise ExperimentError(f"the examples of this experiment belong together: {why}.")
    inputs = {
        name: some_of(given, examples) if name in run_inputs(experiment) else given
        for name, given in experiment.inputs.items()
    }

    def counted(metric: Metric, run: str | None) -> Metric:
        given = experiment.inputs[experiment.run(metric.run or run or experiment.main).input]
        asked = {field: _answers(value, given.examples, examples) for field, value in metric.asks.items()}
        return metric.model_copy(update={**asked, "reduce_examples": "none"})

    def captured(name: str, run: Run) -> Run:
        kept = [
            c.model_copy(update={"of": counted(c.of, name)}) if isinstance(c, GradCapture) else c for c in run.captures
        ]
        return run.model_copy(update={"captures": tuple(kept)})

    return {
        "inputs": inputs,
        "metrics": tuple(counted(metric, None) for metric in experiment.metrics),
        "runs": {name: captured(name, run) for name, run in experiment.runs.items()},
    }


def some_of(given: Input, examples: list[int]) -> Input:
    """These examples of an input; one example stands for all."""
    total = given.examples
    if total == 1:
        return given
    if not examples or not all(0 <= i < total for i in examples):
        raise ExperimentError(f"examples {examples[:5]} are not those of an input of {total}: expected 0-{total - 1}.")
    new: dict[str, Any] = {
        "positions": {name: tuple(at[i] for i in examples) for name, at in given.positions.items()},
        "answers": _answers(given.answers, total, examples),
        "wrong": _answers(given.wrong, total, examples),
    }
    match given:
        case Texts():
            new["texts"] = tuple(given.texts[i] for i in examples)
        case Tokens():
            new["tokens"] = tuple(given.tokens[i] for i in examples)
        case Chats():
            new["chats"] = tuple(given.chats[i] for i in examples)
        case ModelInputs():
            new["tensors"] = {name: Attachment.of(a.tensor[examples]) for name, a in given.tensors.items()}
    return given.model_copy(update=new)


def _answers(value: Any, total: int, examples: list[int]) -> Any:
    """Those of the examples, where there is one for each."""
    if not isinstance(value, tuple) or len(value) != total or total == 1:
        return value
    return tuple(value[i] for i in examples)
