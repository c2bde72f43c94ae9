"""Runs that are compared: run folders, or bundles, which are opened as a stranger's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core import codec
from assay.core.errors import StudyError
from assay.studies.bundle.opened import open_bundle
from assay.studies.conclusion import Judgement
from assay.studies.pick import StepData
from assay.studies.report.contents import Contents, read_contents
from assay.studies.schema import Hypothesis


@dataclass(frozen=True)
class Compared:
    """A finished run under the name that the comparison calls it by."""

    name: str
    contents: Contents

    @property
    def numbers(self) -> dict[str, StepData]:
        """The steps' results."""
        return self.contents.numbers

    @property
    def model(self) -> str:
        """The model, with its revision."""
        known: dict[str, Any] = self.contents.environment.get("model", {})
        name = known.get("name") or str(self.contents.study.model)
        revision = known.get("revision")
        return f"{name} @ {revision[:12]}" if revision else str(name)

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        return str(self.contents.environment.get("model", {}).get("fingerprint", "not recorded"))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each data set."""
        return tuple(spec.seed for spec in self.contents.study.data.values())

    @property
    def apart_from_seeds(self) -> str:
        """A hash of the model and of all that was asked, but for seeds: what runs that differ in seeds share."""
        return codec.digest([self.fingerprint, _without_seeds(self.contents.plan.current.content)])

    def asked(self, hypothesis: str) -> Hypothesis | None:
        """The hypothesis of that name."""
        return next((each for each in self.contents.study.hypotheses if each.id == hypothesis), None)

    def judged(self, hypothesis: str) -> Judgement | None:
        """The verdict on it."""
        return next((each for each in self.contents.conclusion.judgements if each.id == hypothesis), None)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "title": self.contents.study.title,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "seeds": list(self.seeds),
            "plan": self.contents.plan.hash,
            "time": self.contents.conclusion.time,
        }


def read_run(path: Path, name: str | None = None) -> Compared:
    """A run folder or a bundle.

    Raises:
        StudyError: it is neither, or its run did not come to its end.
    """
    shown = name or path.resolve().name.removesuffix(".zip")
    if path.is_dir():
        contents = read_contents(path)
    elif path.is_file():
        with open_bundle(path) as bundle:
            contents = bundle.contents
    else:
        raise StudyError(f"There is no {path}: give run folders or bundles of finished studies.")
    if contents.missing:
        raise StudyError(f"{path} has no numbers of {', '.join(contents.missing)}: run the study to its end.")
    return Compared(shown, contents)


def read_runs(paths: Sequence[Path]) -> tuple[Compared, ...]:
    """Several, under names that are all different."""
    runs: list[Compared] = []
    for path in paths:
        run = read_run(path)
        taken = [each.name for each in runs]
        name = next(
            each for each in (run.name, *(f"{run.name} ({k})" for k in range(2, len(paths) + 2))) if each not in taken
        )
        runs.append(Compared(name, run.contents))
    return tuple(runs)


def _without_seeds(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_seeds(value) for key, value in content.items() if key != "seed"}
    return [_without_seeds(each) for each in content] if isinstance(content, list) else content
