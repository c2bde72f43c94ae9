"""Freezing the plan: what was asked and predicted, hashed and written down before anything is computed.

The plan is the study file with every default filled in, methods' settings too. Its hash is that of its canonical JSON.
A run folder keeps every plan that it was run with, oldest first: a change is a deviation that reports show, and a
hypothesis that was not in the first plan as it now stands is exploratory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.core import codec
from assay.core.errors import StudyError
from assay.core.files import write_text
from assay.core.registry import find
from assay.studies.environment import now, versions
from assay.studies.git import checkout
from assay.studies.own_prompts import frozen_data
from assay.studies.schema import Study
from assay.studies.sensitivity import alternatives

FORMAT = 1
FILE = "plan.json"


@dataclass(frozen=True)
class Frozen:
    """One plan as it was frozen."""

    hash: str
    time: str
    versions: dict[str, str]
    content: dict[str, Any]
    git: dict[str, Any] | None = None
    """The commit of the working directory and whether its files differed (`git.Checkout`); not part of the hash."""


@dataclass(frozen=True)
class Plan:
    """All plans of a run folder, oldest first; the last one is in force."""

    frozen: tuple[Frozen, ...]

    @property
    def current(self) -> Frozen:
        """The plan in force."""
        return self.frozen[-1]

    @property
    def hash(self) -> str:
        """Of the plan in force."""
        return self.current.hash

    def is_exploratory(self, hypothesis: str) -> bool:
        """Whether a hypothesis was added or changed after the first plan was frozen."""
        return bool(_hypothesis(self.frozen[0], hypothesis) != _hypothesis(self.current, hypothesis))

    def deviations(self) -> list[str]:
        """What changed after the first freeze, in words."""
        pairs = zip(self.frozen, self.frozen[1:], strict=False)
        return [f"{after.time}: changed {', '.join(changes(before.content, after.content))}" for before, after in pairs]


def content_of(study: Study) -> dict[str, Any]:
    """The plan's content. Unknown methods, settings and missing inputs are refused here, before any compute.

    Of a model that is a folder or a file only the last part of its path counts: where it lies is not what is asked.
    """
    content: dict[str, Any] = study.model_dump(mode="json", by_alias=True, exclude={"budget", "matrix"})
    content["data"] = frozen_data(study)
    if study.model.name is not None and Path(study.model.name).exists():
        content["model"]["name"] = Path(study.model.name).resolve().name
    for name, step in study.steps.items():
        method = find(step.method)
        if set(step.needs) != set(method.takes):
            wanted = ", ".join(method.takes) or "none"
            given = ", ".join(step.needs) or "none"
            raise StudyError(f"Step {name!r}: {step.method} takes the earlier results {wanted}; `needs` gives {given}.")
        content["steps"][name]["settings"] = method.validated(step.settings).model_dump(mode="json", by_alias=True)
    for other in alternatives(study).values():
        for step in other.steps.values():
            find(step.method).validated(step.settings)
    return content


def freeze(study: Study, folder: Path, *, amend: bool = False) -> Plan:
    """Write the plan into the run folder, or find it there unchanged.

    Raises:
        StudyError: the folder holds another plan, and `amend` is off.
    """
    content = content_of(study)
    at = checkout(Path.cwd())
    fresh = Frozen(codec.digest(content), now(), versions(), content, None if at is None else at.as_data())
    if not (folder / FILE).exists():
        return _write(Plan((fresh,)), folder)
    plan = read_plan(folder)
    if plan.hash == fresh.hash:
        return plan
    if not amend:
        raise StudyError(
            f"{folder} holds a plan frozen at {plan.current.time} ({plan.hash[:19]}…) that is not this one: "
            f"changed are {', '.join(changes(plan.current.content, content))}. Choose another --out, or continue with "
            "--amend: the change is then recorded as a deviation and shown in the report."
        )
    return _write(Plan((*plan.frozen, fresh)), folder)


def read_plan(folder: Path) -> Plan:
    """The plans of a run folder.

    Raises:
        StudyError: there is none, it is from a newer version, or its content doesn't have the hash that it claims.
    """
    try:
        data = codec.parse((folder / FILE).read_text(encoding="utf-8"), what=str(folder / FILE))
    except FileNotFoundError:
        raise StudyError(f"{folder} is not a run folder: it has no {FILE}. Make one with `assay study run`.") from None
    if data["format"] > FORMAT:
        raise StudyError(f"{folder / FILE} has format {data['format']}; this assay reads up to {FORMAT}: upgrade it.")
    try:
        frozen = tuple(Frozen(**each) for each in data["plans"])
    except TypeError:
        raise StudyError(f"{folder / FILE} is damaged: a plan has hash, time, versions, content and git.") from None
    for each in frozen:
        if codec.digest(each.content) != each.hash:
            raise StudyError(f"{folder / FILE} was changed after {each.time}: its content does not have its hash.")
    return Plan(frozen)


def changes(before: Any, after: Any, place: str = "") -> list[str]:
    """Places where two plans differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(dict.fromkeys([*before, *after]))
        pairs = [(key, before.get(key), after.get(key)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(before, after, strict=True))]
    else:
        return [place] if before != after else []
    return [found for key, a, b in pairs if a != b for found in changes(a, b, f"{place}.{key}" if place else key)]


def _hypothesis(plan: Frozen, name: str) -> Any:
    return next((each for each in plan.content["hypotheses"] if each["id"] == name), None)


def _write(plan: Plan, folder: Path) -> Plan:
    plans = [asdict(each) for each in plan.frozen]
    write_text(folder / FILE, codec.pretty({"format": FORMAT, "plans": plans}))
    return plan
