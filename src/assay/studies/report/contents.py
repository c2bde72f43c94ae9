"""Everything that a run folder holds, read once: the report is made from this and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import StorageError, StudyError
from assay.studies.conclusion import Conclusion, read_conclusion
from assay.studies.folder import RunFolder, StepResult
from assay.studies.pick import StepData
from assay.studies.plan import Plan, read_plan
from assay.studies.read import read_study
from assay.studies.report.costs import Cost, costs_of
from assay.studies.schema import Study


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a data set as they were written, and what their file says about them."""

    examples: tuple[dict[str, Any], ...]
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """A run folder's content."""

    study: Study
    plan: Plan
    conclusion: Conclusion
    environment: dict[str, Any]
    results: dict[str, StepResult]
    missing: tuple[str, ...]
    prompts: dict[str, PromptSet]
    costs: dict[str, Cost]

    @property
    def numbers(self) -> dict[str, StepData]:
        """The steps' results, as quantities read them."""
        return {name: StepData(name, each.data, each.examples) for name, each in self.results.items()}

    @property
    def cards(self) -> dict[str, dict[str, Any]]:
        """The validity card of each step's method, as it was stored."""
        return {name: each.card for name, each in self.results.items()}


def read_contents(root: Path) -> Contents:
    """Read a run folder. Steps whose numbers are not there (any more) are named, not an error.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to an end.
    """
    plan = read_plan(root)
    study = _study(plan, root)
    folder = RunFolder(root)
    there = [name for name in study.steps if folder.result_path(name).exists()]
    results = {name: folder.load(name) for name in there}
    return Contents(
        study=study,
        plan=plan,
        conclusion=read_conclusion(root),
        environment=_environment(folder),
        results=results,
        missing=tuple(name for name in study.steps if name not in there),
        prompts={name: _prompts(folder.prompts_path(name)) for name in study.data},
        costs=costs_of(results, root / "log.jsonl"),
    )


def _study(plan: Plan, root: Path) -> Study:
    """The study as its plan holds it, which is hashed, in the order of the file: a plan is stored with sorted keys."""
    file, content = read_study(root / "study.yaml"), plan.current.content
    if set(file.steps) != set(content["steps"]) or set(file.data) != set(content["data"]):
        raise StudyError(f"{root / 'study.yaml'} is not the study of the plan in {root}: run the study again.")
    ordered = {part: {name: content[part][name] for name in getattr(file, part)} for part in ("data", "steps")}
    return Study.model_validate(content | ordered)


def _environment(folder: RunFolder) -> dict[str, Any]:
    try:
        found: dict[str, Any] = folder.read_json("environment.json")
    except StorageError:
        return {}
    return found


def _prompts(path: Path) -> PromptSet:
    """One JSON object a line; the first may be a header. A line that is damaged is left out and counted."""
    if not path.exists():
        return PromptSet((), ("the prompts' file is not in the run folder",))
    header: dict[str, Any] = {}
    examples: list[dict[str, Any]] = []
    bad = 0
    for line in filter(str.strip, path.read_text(encoding="utf-8").splitlines()):
        row = _object(line)
        if row is None:
            bad += 1
        elif "assay_pairs" in row:
            header = row
        else:
            examples.append(row)
    facts = [str(fact) for fact in header.get("facts", ())]
    facts += [f"{bad} lines of the file can't be read"] if bad else []
    return PromptSet(tuple(examples), tuple(facts))


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None
