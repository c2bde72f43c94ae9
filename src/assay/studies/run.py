"""Running a study: freeze the plan, do the steps in order, judge the hypotheses.

A step whose result is already stored, made from the same method, settings, earlier results, prompts and weights, is
read instead of done again. So an interrupted run goes on where it stopped, and a changed step redoes only what hangs on
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

import assay
from assay.core import codec
from assay.core.files import write_text
from assay.core.progress import listening
from assay.core.protocols import Scores
from assay.core.registry import Method, find
from assay.data import task
from assay.engine.model import load
from assay.studies.conclusion import FILE as CONCLUSION
from assay.studies.conclusion import Conclusion, concluded
from assay.studies.environment import environment, now
from assay.studies.evaluate import Verdict, judge
from assay.studies.folder import RunFolder, StepResult
from assay.studies.pick import StepData
from assay.studies.plan import Plan, freeze
from assay.studies.read import study_yaml
from assay.studies.schema import DataSpec, ModelSpec, StepSpec, Study


@dataclass(frozen=True)
class Sources:
    """Where models and prompts come from."""

    model: Callable[[ModelSpec], Any]
    data: Callable[[DataSpec, Any], Any]


class Watcher(Protocol):
    """Who is told how a run goes."""

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """The plan is frozen, and these steps follow."""

    def started(self, step: str) -> None:
        """A step begins."""

    def advanced(self, step: str, done: int, total: int) -> None:
        """A part of a step is done."""

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """A step is done, or was found done."""


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
    """
    folder = RunFolder(root)
    plan = freeze(study, root, amend=amend)
    folder.log("plan", hash=plan.hash)
    write_text(root / "study.yaml", study_yaml(study))
    watcher = watcher or Silent()
    watcher.planned(plan, list(study.steps))
    try:
        results = _Steps(study, folder, sources or default_sources(), watcher).all()
    except KeyboardInterrupt:
        folder.log("interrupted")
        raise
    verdicts = judged(study, results)
    conclusion = concluded(study, plan, results=results, verdicts=verdicts, about=folder.read_json("environment.json"))
    folder.write_json(CONCLUSION, conclusion.model_dump(mode="json"))
    folder.log("judged", verdicts={each.hypothesis.id: each.outcome for each in verdicts})
    return Run(study, plan, folder, results, verdicts, conclusion)


def judged(study: Study, results: Mapping[str, StepResult]) -> tuple[Verdict, ...]:
    """A verdict on each hypothesis."""
    numbers = {name: StepData(name, each.data, each.examples) for name, each in results.items()}
    questions = len(study.hypotheses)
    return tuple(judge(each, numbers, study.analysis, questions=questions) for each in study.hypotheses)


def default_sources() -> Sources:
    """Models from `assay.load`, prompts from the task families."""

    def data(spec: DataSpec, model: Any) -> Any:
        return task(
            spec.task,
            n=spec.n,
            seed=spec.seed,
            split=spec.split,
            tokenizer=model.tokenizer,
            templates=spec.templates,
            variant=spec.variant,
        )

    def model(spec: ModelSpec) -> Any:
        options = {key: value for key in ("revision", "dtype") if (value := getattr(spec, key)) is not None}
        return load(spec.name, **options)

    return Sources(model, data)


class Silent:
    """A watcher that says nothing."""

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """Nothing."""

    def started(self, step: str) -> None:
        """Nothing."""

    def advanced(self, step: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """Nothing."""


class _Steps:
    """The steps of one run, with the model and the prompts that they share."""

    def __init__(self, study: Study, folder: RunFolder, sources: Sources, watcher: Watcher) -> None:
        self.study, self.folder, self.watcher = study, folder, watcher
        self.model = sources.model(study.model)
        self.data = {name: sources.data(spec, self.model) for name, spec in study.data.items()}
        for name, pairs in self.data.items():
            self.folder.prompts_path(name).parent.mkdir(parents=True, exist_ok=True)
            pairs.to_jsonl(self.folder.prompts_path(name))
        self.folder.write_json("environment.json", environment() | {"model": _about(self.model)})
        self.done: dict[str, StepResult] = {}

    def all(self) -> dict[str, StepResult]:
        """Every step's result, in order."""
        for name, step in self.study.steps.items():
            self.watcher.started(name)
            key = self._key(step)
            reused = self.folder.has(name, key)
            result = self.folder.load(name) if reused else self._do(name, step, key)
            self.done[name] = result
            self.folder.log("step", step=name, reused=reused, seconds=round(result.seconds, 2))
            self.watcher.finished(name, result.seconds, reused=reused)
        return self.done

    def _key(self, step: StepSpec) -> str:
        settings = find(step.method).validated(step.settings).model_dump(mode="json", by_alias=True)
        made_from = {
            "method": step.method,
            "settings": settings,
            "needs": {parameter: self.done[name].key for parameter, name in step.needs.items()},
            "prompts": self.data[step.data].hash,
            "model": self.model.fingerprint,
            "assay": assay.__version__,
        }
        return codec.digest(made_from)

    def _do(self, name: str, step: StepSpec, key: str) -> StepResult:
        method, pairs = find(step.method), self.data[step.data]
        settings = method.validated(step.settings)
        earlier = {parameter: Scores.from_dataset(self.done[needed].data) for parameter, needed in step.needs.items()}
        began = time.perf_counter()
        with listening(lambda done, total: self.watcher.advanced(name, done, total)):
            value = method.run(self.model, pairs, settings, **earlier)
        result = StepResult(
            step=name,
            key=key,
            method=step.method,
            settings=settings.model_dump(mode="json", by_alias=True),
            examples=step.data,
            gives=type(value).__name__,
            seconds=time.perf_counter() - began,
            created=now(),
            card=_card(method),
            **_numbers(value, pairs),
        )
        self.folder.save(result)
        return result


def _card(method: Method) -> dict[str, Any]:
    """What the folder must say of a method for its numbers to be read without assay."""
    about = {field.name: getattr(method.card, field.name) for field in fields(method.card) if field.name != "gives"}
    return about | {"cites": list(method.card.cites), "summary": method.summary}


def _numbers(value: Any, pairs: Any) -> dict[str, Any]:
    """A method's value as labelled numbers, with the template of each example, and where they come from."""
    data = value.to_dataset() if isinstance(value, Scores) else value.data
    facts = value.facts if isinstance(value, Scores) else value.provenance.facts
    if data.sizes.get("example") == len(pairs):
        data = data.assign_coords(template=("example", [each.template for each in pairs]))
    provenance = {} if isinstance(value, Scores) else value.provenance.model_dump(mode="json")
    cost = {} if isinstance(value, Scores) else value.cost.model_dump(mode="json")
    return {"data": _loaded(data), "facts": tuple(facts), "provenance": provenance, "cost": cost}


def _loaded(data: xr.Dataset) -> xr.Dataset:
    return data.transpose(..., "example") if "example" in data.dims else data


def _about(model: Any) -> dict[str, Any]:
    """What a reader must know of the model; of a local folder or file only the last part of its path."""
    names = ("fingerprint", "n_layers", "n_heads", "d_model")
    about = {name: getattr(model, name) for name in names if hasattr(model, name)}
    source = getattr(getattr(model, "network", None), "source", None)
    if source is not None:
        about |= {"name": source.name, "kind": source.kind, "revision": source.revision, "facts": list(source.facts)}
        about |= {"dtype": source.dtype, "class": type(model.native).__name__}
    return about
