"""Running a study: freeze the plan, do the steps in order, judge the hypotheses.

A step whose result is already stored, made from the same method, settings, earlier results, prompts and weights, is
read instead of done again. So an interrupted run goes on where it stopped, and a changed step redoes only what hangs on
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.core.files import write_text
from assay.studies.budget import BudgetError
from assay.studies.conclusion import FILE as CONCLUSION
from assay.studies.conclusion import Conclusion, concluded
from assay.studies.corrected import judge_all
from assay.studies.evaluate import Verdict
from assay.studies.folder import RunFolder, StepResult
from assay.studies.own_prompts import beside
from assay.studies.pick import StepData
from assay.studies.plan import Plan, freeze
from assay.studies.read import study_yaml
from assay.studies.schema import Study
from assay.studies.sensitivity import judged_otherwise
from assay.studies.sources import Sources, default_sources
from assay.studies.steps import Steps
from assay.studies.watcher import Silent, Watcher

__all__ = ["Run", "Silent", "Sources", "Watcher", "default_sources", "judged", "run_study"]


@dataclass(frozen=True)
class Run:
    """A finished run: what was asked, what came out, the verdicts, and what the folder says of them."""

    study: Study
    plan: Plan
    folder: RunFolder
    results: Mapping[str, StepResult]
    verdicts: tuple[Verdict, ...]
    conclusion: Conclusion


def run_study(
    study: Study, root: Path, *, sources: Sources | None = None, watcher: Watcher | None = None, amend: bool = False
) -> Run:
    """Run a study in a folder, going on from what is stored there.

    Raises:
        StudyError: the folder holds another plan (and `amend` is off), or a hypothesis asks for what no step gives.
        BudgetError: a step would exceed the study's budget.
    """
    folder = RunFolder(root)
    plan = freeze(study, root, amend=amend)
    folder.log("plan", hash=plan.hash)
    write_text(root / "study.yaml", study_yaml(beside(study)))
    watcher = watcher or Silent()
    watcher.planned(plan, list(study.steps))
    try:
        steps = Steps(study, folder, sources=sources or default_sources(), watcher=watcher)
        results = steps.all()
        otherwise = judged_otherwise(steps, judged)
    except KeyboardInterrupt:
        folder.log("interrupted")
        raise
    except BudgetError as error:
        folder.log("budget", reason=str(error))
        raise
    verdicts = judged(study, results)
    about = folder.read_json("environment.json")
    conclusion = concluded(study, plan, results=results, verdicts=verdicts, about=about, otherwise=otherwise)
    folder.write_json(CONCLUSION, conclusion.model_dump(mode="json"))
    folder.log("judged", verdicts={each.hypothesis.id: each.outcome for each in verdicts})
    return Run(study, plan, folder, results, verdicts, conclusion)


def judged(study: Study, results: Mapping[str, StepResult]) -> tuple[Verdict, ...]:
    """A verdict on each hypothesis."""
    numbers = {name: StepData(name, each.data, each.examples) for name, each in results.items()}
    return judge_all(study.hypotheses, numbers, study.analysis)
