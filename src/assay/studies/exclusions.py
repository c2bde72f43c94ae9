"""Prompts that a study leaves out by a rule that it states beforehand: those that the model does not answer as it should.

    data:
      test: {task: ioi, split: test, n: 96, exclude: [wrong]}

Which prompts these are depends on the model alone, so another machine leaves out the same. How many they were stands among the
limitations. Cost: a forward pass of all prompts that were drawn, two with both rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from assay.core.errors import StudyError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.experiment import Experiment
from assay.studies.schema import DataSpec, Exclusion

AT_ONCE = 16
FEWEST = 2
MEANING: Mapping[Exclusion, str] = {
    "wrong": "a wrong answer beats the right one",
    "wrong_counterfactual": "the clean prompt's answer beats its rival on the counterfactual prompt too",
}


def without_excluded(pairs: Pairs, spec: DataSpec, model: Model) -> Pairs:
    """The examples that no rule of the data set leaves out, in their order; `facts` say how many each did.

    Raises:
        StudyError: fewer than two are left.
    """
    kept = torch.ones(len(pairs), dtype=torch.bool)
    facts = []
    for rule in spec.exclude:
        out = _breaks(rule, pairs, model)
        facts.append(f"{int(out.sum())} of {len(pairs)} prompts left out, as declared: {MEANING[rule]}")
        kept &= ~out
    left = int(kept.sum())
    if left < FEWEST:
        raise StudyError(
            f"`exclude` leaves {left} of {len(pairs)} prompts of {spec}: the model does not do this task. Take another "
            "task or model, or drop the rule."
        )
    return replace(pairs.take(kept.nonzero()[:, 0].tolist()), facts=(*pairs.facts, *facts)) if facts else pairs


def _breaks(rule: Exclusion, pairs: Pairs, model: Model) -> Bool[Tensor, " example"]:
    run = "clean" if rule == "wrong" else "corrupt"
    measure = metric.accuracy(name="right") if rule == "wrong" else metric.logit_diff(name="right")
    experiment = Experiment(inputs=pairs.as_inputs(), metrics=(measure,), main=run)
    right = torch.as_tensor(model.measure(experiment, batch=AT_ONCE)["right"].values)
    return right < 0.5 if rule == "wrong" else right > 0
