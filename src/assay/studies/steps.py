"""The steps of a run, in order: each is read if it was made from exactly this, and done if not.

What a step is made from is one hash, its key: the method, its settings, the keys of the earlier results that it takes, the
prompts, the weights, and assay's version.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import xarray as xr

import assay
from assay.core import codec
from assay.core.calls import Call, as_given_by, holding
from assay.core.progress import listening
from assay.core.registry import Method, find, keeps_files
from assay.studies.budget import Purse
from assay.studies.controls import controlled, uncontrolled
from assay.studies.environment import environment, now
from assay.studies.estimate import Estimated, estimate_step
from assay.studies.folder import RunFolder, StepResult
from assay.studies.own_prompts import own_prompts, place_of
from assay.studies.schema import Budget, DataSpec, StepSpec, Study
from assay.studies.sources import Sources, about
from assay.studies.watcher import Under, Watcher


class Steps:
    """The steps of one run, with the model and the prompts that they share."""

    def __init__(self, study: Study, folder: RunFolder, *, sources: Sources, watcher: Watcher) -> None:
        self.study, self.folder, self.watcher = study, folder, watcher
        self.purse = Purse(study.budget or Budget())
        self.model = sources.model(study.model)
        self.data = {name: sources.data(spec, self.model) for name, spec in study.data.items()}
        for name, pairs in self.data.items():
            self.folder.prompts_path(name).parent.mkdir(parents=True, exist_ok=True)
            pairs.to_jsonl(self.folder.prompts_path(name))
            self._keep_all(name, study.data[name])
        self.folder.write_json("environment.json", environment() | {"model": about(self.model)})
        self.done: dict[str, StepResult] = {}
        self.paid: set[str] = set()

    def _keep_all(self, name: str, spec: DataSpec) -> None:
        """Own prompts of which some were left out: all of them, for another model."""
        if spec.file is not None and spec.exclude:
            own_prompts(spec).to_jsonl(self.folder.root / place_of(name, spec))

    def otherwise(self, study: Study, folder: RunFolder, name: str) -> Steps:
        """The steps of the study under other choices: the same model and prompts, and what both share is paid once."""
        prompts = {spec: self.data[name] for name, spec in self.study.data.items()}
        same = Sources(lambda _: self.model, lambda spec, _: prompts[spec])
        other = Steps(study, folder, sources=same, watcher=Under(self.watcher, name))
        other.purse, other.paid = self.purse, self.paid
        return other

    def all(self) -> dict[str, StepResult]:
        """Every step's result, in order.

        Raises:
            BudgetError: a step would exceed the study's budget; those before it are kept.
        """
        self.watcher.estimated(self._beforehand())
        for name, step in self.study.steps.items():
            self.watcher.started(name)
            key = self._key(step)
            reused = self.folder.has(name, key)
            result = self.folder.load(name) if reused else self._do(name, step, key)
            self.done[name] = result
            if key not in self.paid:
                self.purse.pay(result.seconds)
            self.paid.add(key)
            self.folder.log("step", step=name, reused=reused, seconds=round(result.seconds, 2))
            self.watcher.finished(name, result.seconds, reused=reused)
        return self.done

    def _beforehand(self) -> dict[str, Estimated]:
        """Steps that need no earlier result and are not there yet."""
        free = {name: step for name, step in self.study.steps.items() if not step.needs}
        return {
            name: self._estimate(step, {}) for name, step in free.items() if not self.folder.has(name, self._key(step))
        }

    def _estimate(self, step: StepSpec, earlier: Mapping[str, Any]) -> Estimated:
        method = find(step.method)
        settings = method.validated(step.settings)
        return estimate_step(method, self.model, self.data[step.data], settings=settings, earlier=earlier)

    def _key(self, step: StepSpec) -> str:
        full = step.model_copy(
            update={"settings": find(step.method).validated(step.settings).model_dump(mode="json", by_alias=True)}
        )
        needs = {parameter: self.done[name].key for parameter, name in step.needs.items()}
        return step_key(full, needs, prompts=self.data[step.data].hash, model=self.model.fingerprint)

    def _do(self, name: str, step: StepSpec, key: str) -> StepResult:
        method, pairs = find(step.method), self.data[step.data]
        settings = method.validated(step.settings)
        earlier = {parameter: self._handed(method.takes[parameter], needed) for parameter, needed in step.needs.items()}
        estimated = self._estimate(step, earlier)
        self.folder.log("estimate", step=name, **estimated.as_data())
        self.purse.check(name, estimated)
        watch = self.purse.watch(name)

        def heard(done: int, total: int) -> None:
            watch(done, total)
            self.watcher.advanced(name, done, total)

        began = time.perf_counter()
        with listening(heard):
            value = method.run(self.model, pairs, settings, **earlier)
        numbers, beside = _numbers(value, pairs), controlled(self.study, name, value, pairs=pairs)
        said = uncontrolled(self.study, name, value) if beside is None else beside.caveats()
        numbers |= {"facts": (*numbers["facts"], *said), "controls": {} if beside is None else beside.to_json()}
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
            **numbers,
        )
        if keeps_files(value):
            value.save(self.folder.kept_path(name))
        self.folder.save(result)
        return result

    def _handed(self, kind: Any, step: str) -> Any:
        """An earlier step's result as the kind of value that a method takes: from its own files, or from its numbers.

        It knows the call that gave it, so that controls can ask what it would have been otherwise.
        """
        value = kind.load(self.folder.kept_path(step)) if keeps_files(kind) else kind.from_dataset(self.done[step].data)
        spec = self.study.steps[step]
        method = find(spec.method)
        settings = method.validated(spec.settings)
        given = {name: getattr(settings, name) for name in type(settings).model_fields}
        given |= {parameter: self._handed(method.takes[parameter], needed) for parameter, needed in spec.needs.items()}
        seconds = self.done[step].seconds
        call = Call(method.name, method.function, self.data[spec.data], given, seconds, holding(self.model))
        return as_given_by(value, call)


def step_key(
    step: StepSpec, needs: Mapping[str, str], *, prompts: str, model: str, version: str = assay.__version__
) -> str:
    """The hash of all that a step's result is made from, its settings written out with their defaults.

    `needs` are the keys of the earlier results that it takes.
    """
    made_from = {
        "method": step.method,
        "settings": step.settings,
        "needs": dict(needs),
        "prompts": prompts,
        "model": model,
        "assay": version,
    }
    return codec.digest(made_from)


def _card(method: Method) -> dict[str, Any]:
    """What the folder must say of a method for its numbers to be read without assay."""
    found = {field.name: getattr(method.card, field.name) for field in fields(method.card) if field.name != "gives"}
    return found | {"cites": list(method.card.cites), "summary": method.summary}


def _numbers(value: Any, pairs: Any) -> dict[str, Any]:
    """A method's value as labelled numbers, with the template of each example, and where they come from."""
    own = callable(getattr(value, "to_dataset", None))
    data = value.to_dataset() if own else value.data
    facts = value.facts if own else value.provenance.facts
    if data.sizes.get("example") == len(pairs):
        data = data.assign_coords(template=("example", [each.template for each in pairs]))
    provenance = {} if own else value.provenance.model_dump(mode="json")
    cost = {} if own else value.cost.model_dump(mode="json")
    return {"data": _loaded(data), "facts": tuple(facts), "provenance": provenance, "cost": cost}


def _loaded(data: xr.Dataset) -> xr.Dataset:
    return data.transpose(..., "example") if "example" in data.dims else data
