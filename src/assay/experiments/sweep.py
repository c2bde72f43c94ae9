"""`sweep`: one edit, or several together, tried at every place that they leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.experiments.axes import Axis, Sweep
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

__all__ = ["Axis", "Sweep", "sweep"]


def sweep(
    edits: Edit | Sequence[Edit],
    over: str | Sequence[str] | Mapping[str, Sequence[Any] | None],
    *,
    inputs: Mapping[str, Any],
    base: str,
    metrics: Sequence[Metric],
    runs: Mapping[str, Run] | None = None,
) -> Experiment:
    """An experiment with one variant for each combination of values of the axes `over`, all on the input `base`.

    `over` names axes that the edits leave open (a list of names takes all values that there are; a dict gives values).
    With several edits, an axis fills in all that leave it open. `runs` are further runs, to take values from.

    >>> from assay.experiments import edit, metric
    >>> exp = sweep(edit.patch("resid_post", source="other"), ["layer", "pos"],
    ...             inputs={"clean": "a b", "other": "a c"}, base="clean", metrics=[metric.logit_diff(" x", " y")])
    >>> exp.main, exp.order()
    ('swept', ('other', 'swept'))
    """
    changed = Run(input=base, edits=edits)
    every = {**(runs or {}), "swept": changed}
    return Experiment(inputs=dict(inputs), runs=every, metrics=metrics, main="swept", sweep=Sweep(axes=over))
