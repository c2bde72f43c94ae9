"""Prompts that a study leaves out by a rule that it states beforehand: those that the model does not answer as it should.

    data:
      test: {task: ioi, split: test, n: 96, exclude: [wrong]}
      own: {file: capitals.jsonl, split: test, n: 80, exclude: [wrong]}

Which prompts these are depends on the model alone, so another machine leaves out the same. How many they were stands among the
limitations. A plan holds the hash of all own prompts that were taken, and the run folder holds them beside those that are left,
so that another model leaves out its own. Cost: a forward pass of all prompts that were drawn, two with both rules.
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


def refuse_unanswered(pairs: Pairs, spec: DataSpec) -> None:
    """Refuse rules about answers for prompts that have none; text is enough, no model is needed.

    Raises:
        StudyError: an example has no right answer, or no wrong one.
    """
    for i, example in enumerate(pairs):
        missing = [part for part in ("answers", "wrong") if not getattr(example, part)]
        if spec.exclude and missing:
            raise StudyError(
                f"`exclude` of {spec.whose} prompts asks whether the model prefers the right answer to a wrong one, and "
                f"example {i} has no `{missing[0]}`. Give every example `answers` and `wrong`, or drop the rule."
            )


def without_excluded(pairs: Pairs, spec: DataSpec, model: Model) -> Pairs:
    """The examples that no rule of the data set leaves out, in their order; `facts` say how many each did.

    Raises:
        StudyError: fewer than two are left, or they have no answers to go by.
    """
    refuse_unanswered(pairs, spec)
    kept = torch.ones(len(pairs), dtype=torch.bool)
    facts = []
    for rule in spec.exclude:
        out = _breaks(rule, pairs, model)
        facts.append(f"{int(out.sum())} of {len(pairs)} prompts left out, as declared: {MEANING[rule]}")
        kept &= ~out
    left = int(kept.sum())
    if left < FEWEST:
        raise StudyError(
            f"`exclude` leaves {left} of {len(pairs)} of {spec.whose} prompts: the model does not do this task. "
            "Take another task or model, or drop the rule."
        )
    return replace(pairs.take(kept.nonzero()[:, 0].tolist()), facts=(*pairs.facts, *facts)) if facts else pairs


def _breaks(rule: Exclusion, pairs: Pairs, model: Model) -> Bool[Tensor, " example"]:
    run = "clean" if rule == "wrong" else "corrupt"
    measure = metric.accuracy(name="right") if rule == "wrong" else metric.logit_diff(name="right")
    experiment = Experiment(inputs=pairs.as_inputs(), metrics=(measure,), main=run)
    right = torch.as_tensor(model.measure(experiment, batch=AT_ONCE)["right"].values)
    return right < 0.5 if rule == "wrong" else right > 0
