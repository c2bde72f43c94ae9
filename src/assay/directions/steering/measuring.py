"""Edits measured on prompts and on unrelated text, all as variants of one experiment.

Every edit is a run of its own on the prompts, and one on the text; strengths are an axis of all of them. What is read, for each
edit, strength and example: the logit of the target answer minus that of the other, the target's probability, KL(unedited ‖
edited) at the prompt's last token, and on the text KL and next-token loss.

Cost: for each edit and strength a pass of the prompts from the edit's layer on, and one of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.core.result import Result
from assay.data.example import Side
from assay.data.pairs import Pairs
from assay.directions.steering.unrelated import AFTER_FIRST
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Input, as_input
from assay.experiments.metrics import Metric
from assay.experiments.positions import Pos
from assay.experiments.runs import Run
from assay.experiments.sweep import Sweep

TEXT = "text"
BATCH = 16
"""Examples in one pass: logits of every position of the text are in memory."""
At = Callable[[Pos], Edit]
"""An edit, once it is said at which positions."""
QUANTITIES = ("diff", "prob", "kl")
ON_TEXT = ("text_kl", "text_loss")


@dataclass(frozen=True)
class Measured:
    """Numbers by edit: each [strength, example], of each quantity; and those of the unedited runs, [example]."""

    result: Result
    names: tuple[str, ...]
    quantities: tuple[str, ...]

    def __call__(self, quantity: str, *names: str) -> Float[np.ndarray, "name strength example"]:
        """One quantity of some of the edits."""
        return np.stack([self._of(f"{quantity} of {name}") for name in names])

    def unedited(self, name: str) -> Float[np.ndarray, " example"]:
        """`clean` and `corrupt`: logit differences; `prob`; `norm <site>`; `text_loss`."""
        return np.asarray(self.result.data[f"unedited {name}"].values, dtype=float)

    def _of(self, name: str) -> Float[np.ndarray, "strength example"]:
        found = self.result.data[name]
        along = found.transpose("scale", "example") if "scale" in found.dims else found.expand_dims("scale")
        return np.asarray(along.values, dtype=float)


def measured(
    model: Model,
    pairs: Pairs,
    edits: Mapping[str, At],
    *,
    at: Pos,
    strengths: Sequence[float] = (),
    text: Sequence[Sequence[int]] | None = None,
    side: Side = "corrupt",
    more: Mapping[str, Input] | None = None,
    also: Sequence[Metric] = (),
) -> Measured:
    """Measure edits on one side of the pairs, at the positions `at`, and on unrelated text at all but the first.

    `strengths` fill in the edits' scale. `more` are further inputs, `also` further metrics, named "unedited …".
    """
    inputs = {**pairs.as_inputs(), **(more or {})}
    runs = {f"prompts {name}": Run(input=side, edits=made(at)) for name, made in edits.items()}
    metrics = [each for name in edits for each in _on_prompts(name, side)]
    metrics += [metric.logit_diff(name=f"unedited {each}", run=each) for each in ("clean", "corrupt")]
    metrics += [metric.prob(name="unedited prob", run=side), *also]
    if text is not None:
        inputs[TEXT] = as_input([list(ids) for ids in text])
        runs |= {f"text {name}": Run(input=TEXT, edits=made(AFTER_FIRST)) for name, made in edits.items()}
        metrics += [each for name in edits for each in _on_text(name)]
        metrics.append(metric.loss(name="unedited text_loss", run=TEXT, reduce="mean"))
    sweep = Sweep(axes={"scale": list(strengths)}, runs=tuple(runs)) if strengths else None
    experiment = Experiment(inputs=inputs, runs=runs, metrics=metrics, main=next(iter(runs)), sweep=sweep)
    found = model.measure(experiment, batch=BATCH)
    return Measured(found, tuple(edits), (*QUANTITIES, *(ON_TEXT if text is not None else ())))


def _on_prompts(name: str, side: Side) -> list[Metric]:
    run = f"prompts {name}"
    return [
        metric.logit_diff(name=f"diff of {name}", run=run),
        metric.prob(name=f"prob of {name}", run=run),
        metric.kl(side, name=f"kl of {name}", run=run),
    ]


def _on_text(name: str) -> list[Metric]:
    run = f"text {name}"
    return [
        metric.kl(TEXT, name=f"text_kl of {name}", run=run, pos=AFTER_FIRST, reduce="mean"),
        metric.loss(name=f"text_loss of {name}", run=run, reduce="mean"),
    ]
