"""Verdicts under choices that could have been made otherwise: another ablation, another metric, another direction.

The same circuit can score from below 0 to above 1 by such choices alone (arXiv:2407.08734). A study declares them before the
run; each is the study with other settings of some steps. Steps that are the same, and hang on nothing that differs, are not
done again. Cost: the steps that differ, and those that need them, once for each alternative; controls are not repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from assay.core.files import atomic_file
from assay.studies.evaluate import Verdict
from assay.studies.folder import RunFolder, StepResult
from assay.studies.quantity import selectors
from assay.studies.schema import Hypothesis, Study

if TYPE_CHECKING:
    from assay.studies.steps import Steps

FOLDER = "alternatives"
Judge = Callable[[Study, Mapping[str, StepResult]], tuple[Verdict, ...]]


def alternatives(study: Study) -> dict[str, Study]:
    """The study under each of its alternatives: the same but for the settings that differ."""
    found = {}
    for each in study.sensitivity:
        steps = {
            name: step.model_copy(update={"settings": {**step.settings, **each.settings.get(name, {})}})
            for name, step in study.steps.items()
        }
        analysis = study.analysis.model_copy(update={"control_time": 0.0})
        found[each.name] = study.model_copy(update={"steps": steps, "sensitivity": (), "analysis": analysis})
    return found


def judged_otherwise(steps: Steps, judge: Judge) -> dict[str, tuple[Verdict, ...]]:
    """For each alternative, verdicts on the hypotheses that it concerns. `steps` are the study's own, done."""
    study, found = steps.study, {}
    for name, other in alternatives(study).items():
        folder = RunFolder(steps.folder.root / FOLDER / name)
        for step in study.steps:
            _lend(steps.folder, folder, step)
        results = steps.otherwise(other, folder, name).all()
        differ = {step for step, result in results.items() if result.key != steps.done[step].key}
        verdicts = judge(other, results)
        found[name] = tuple(each for each in verdicts if _reads(each.hypothesis) & differ)
    return found


def _reads(hypothesis: Hypothesis) -> set[str]:
    return {each.step for each in selectors(hypothesis.quantity)}


def _lend(own: RunFolder, other: RunFolder, step: str) -> None:
    """A finished step's file for another folder, where its key says whether it is of use there."""
    there = other.result_path(step)
    if not there.exists():
        with atomic_file(there) as temporary:
            shutil.copyfile(own.result_path(step), temporary)
