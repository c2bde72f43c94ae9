"""Does the model do the task at all? Measured before anything is explained."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.claims import PLAIN
from assay.circuits.contrast import Contrast
from assay.core.caveats import caveat
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.experiment import Experiment


@method(
    gives=Result,
    cites="arXiv:2211.00593",
    cost="two forward passes of all examples",
    assumes="that the listed wrong answer is the one that matters",
    fails_when="the model prefers a third answer: see `top`, which asks for the most likely token of all",
    claim=PLAIN,
)
def task_accuracy(
    model: Model, pairs: Pairs, *, batch: Annotated[int, "most examples in one forward pass"] = 16
) -> Result:
    """How often the right answer beats the wrong one, and by how much.

    For each example: `correct` and `logit_diff` on the clean prompt, `top` (the answer is the likeliest token of all),
    `prob` of the answer, and `corrupt_logit_diff` on the counterfactual prompt.
    """
    answers = pairs.answer_ids.tolist()
    metrics = (
        metric.accuracy(name="correct", run="clean"),
        metric.accuracy(answers, name="top", run="clean"),
        metric.logit_diff(name="logit_diff", run="clean"),
        metric.prob(name="prob", run="clean"),
        metric.logit_diff(name="corrupt_logit_diff", run="corrupt"),
    )
    experiment = Experiment(inputs=Contrast(pairs).inputs, metrics=metrics, main="clean")
    found = model.measure(experiment, batch=batch)
    for name in ("correct", "top"):
        found.data[name] = found.data[name] > 0.5
    return Result(found.data, found.provenance.with_facts(*_facts(found.data, pairs)), found.cost)


def _facts(data: xr.Dataset, pairs: Pairs) -> list[str]:
    """Where the task is not done: wrong answers, a third answer preferred, a template that is worse than the others."""
    correct, top, n = data["correct"].values, data["top"].values, len(pairs)
    facts = []
    if not top.all():
        share = float(top.mean())
        facts.append(caveat(f"the right answer is the likeliest token of all on {share:.0%} of {n} prompts only"))
    if correct.all():
        return facts
    facts.append(caveat(f"{int((~correct).sum())} of {n} prompts are answered wrongly, and are not left out"))
    templates = np.array([each.template for each in pairs])
    shares = {name: correct[templates == name] for name in dict.fromkeys(templates.tolist())}
    worst = min(shares, key=lambda name: float(shares[name].mean()))
    if len(shares) > 1:
        right = f"{int(shares[worst].sum())} of {len(shares[worst])}"
        facts.append(caveat(f"the worst of {len(shares)} templates is {worst}: {right} right"))
    return facts
