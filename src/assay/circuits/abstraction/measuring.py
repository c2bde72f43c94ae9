"""What a network answers under interchange interventions, through experiments: nothing is trained here.

Interchange intervention accuracy (IIA) is the share of examples in which the network, with the variable's place taking the
source's value, gives the label that the causal model gives then. The network's answer is its likeliest among the labels.

Beside accuracy stands how far the logits moved: with d = logit(base's label) − logit(expected label), over those examples
whose label should change,

    logit_fraction = mean(d unchanged − d changed) / mean(d unchanged)        0: nothing, 1: undecided, 2: turned round

A large fraction with few flipped answers is what a direction off the path that the network itself takes looks like
(arXiv:2311.17030). Cost: a forward pass of all examples for each alignment, and two more; the scheduled engine does only
what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from assay.circuits.abstraction.alignment import Alignment
from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.training import SOURCE, label_tokens
from assay.core.errors import DataError
from assay.core.progress import listening
from assay.core.provenance import Cost, Provenance
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

AT_ONCE = 8
"""Alignments in one experiment: logits of each are in memory together."""
ROWS = 64
"""Examples in one forward pass."""


@dataclass(frozen=True)
class Answered:
    """The labels' logits under each intervention, and without any."""

    logits: Float[np.ndarray, "alignment example label"]
    unchanged: Float[np.ndarray, "example label"]
    expected: Int[np.ndarray, " example"]
    base_labels: Int[np.ndarray, " example"]
    provenance: Provenance
    cost: Cost

    @property
    def correct(self) -> Bool[np.ndarray, "alignment example"]:
        """Whether the counterfactual label was given."""
        right: Bool[np.ndarray, "alignment example"] = self.logits.argmax(-1) == self.expected
        return right

    @property
    def does_task(self) -> Bool[np.ndarray, " example"]:
        """Whether the network gives the base's own label without intervention."""
        right: Bool[np.ndarray, " example"] = self.unchanged.argmax(-1) == self.base_labels
        return right

    @property
    def logit_fraction(self) -> Float[np.ndarray, " alignment"]:
        """How far the logits moved, over the examples whose label should change; NaN without such examples."""
        rows = np.flatnonzero(self.expected != self.base_labels)
        if not len(rows):
            return np.full(len(self.logits), np.nan)

        def difference(logits: np.ndarray) -> np.ndarray:
            some = logits[..., rows, :]
            picked = [some[..., np.arange(len(rows)), of[rows]] for of in (self.base_labels, self.expected)]
            found: np.ndarray = picked[0] - picked[1]
            return found

        before = difference(self.unchanged)
        share: Float[np.ndarray, " alignment"] = (before - difference(self.logits)).mean(-1) / before.mean()
        return share


def answered(model: Model, data: Counterfactuals, alignments: Sequence[Alignment]) -> Answered:
    """What the network answers with each alignment's interchange in turn.

    Raises:
        DataError: there is no alignment.
    """
    return answered_edits(model, data, [alignment.edits(SOURCE) for alignment in alignments])


def answered_edits(model: Model, data: Counterfactuals, edits: Sequence[Sequence[Edit]]) -> Answered:
    """As `answered`, for edits that take values from the run `source`."""
    if not edits:
        raise DataError("there is no alignment to measure.")
    parts, unchanged, made, cost = [], np.zeros(0), Provenance(), Cost()
    for start in range(0, len(edits), AT_ONCE):
        some = edits[start : start + AT_ONCE]
        runs = {f"changed {i}": Run(input="base", edits=tuple(each)) for i, each in enumerate(some)}
        experiment = Experiment(
            inputs={"base": data.base, SOURCE: data.source},
            runs=runs,
            metrics=[one for name in (*runs, "base") for one in label_metrics(model, data, name)],
            main=next(iter(runs)),
        )
        with listening(None):
            found = model.measure(experiment, batch=ROWS)
        names = range(len(data.labels))
        parts += [np.stack([found[f"{name} {k}"].values for k in names], axis=-1) for name in runs]
        unchanged = np.stack([found[f"base {k}"].values for k in names], axis=-1)
        made, cost = found.provenance, cost + found.cost
    return Answered(np.stack(parts), unchanged, data.expected, data.base_labels, made, cost)


def label_metrics(model: Model, data: Counterfactuals, run: str | None) -> list[Metric]:
    """One metric for each label: its logit after the prompt, or its entry at the site that is read."""
    tokens, name = label_tokens(model, data).tolist(), "changed" if run is None else run
    if data.read is None:
        return [metric.logit(answer=token, name=f"{name} {k}", run=run) for k, token in enumerate(tokens)]
    width = _width(model, data.read)
    rows = torch.eye(width)[tokens]
    return [metric.dot(data.read, row, name=f"{name} {k}", run=run) for k, row in enumerate(rows)]


def _width(model: Model, read: str) -> int:
    site = model.site(read)
    if not site.axes or site.axes[-1] not in site.sizes:
        raise DataError(f"the size of {read!r} is not known: load the module with inputs=, so that it can be traced.")
    return site.sizes[site.axes[-1]]
