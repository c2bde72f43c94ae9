"""A study over several models, revisions and seeds: each combination is a run of its own, and all of them are compared.

    <root>/<model>-<revision>-seed<n>/     a run folder for each combination, with its own plan, frozen before it is run
    <root>/matrix.json                     which combinations, and what became of each
    <root>/comparison.html, .json          which claims hold where

The same command goes on with what is not done yet. A combination that fails (a model that can't be loaded, a budget that is
used up) is written down and the others are run all the same. Seed n is the study with n added to the seed of every data set
and of every step that has one; 0 is the study as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.core import codec
from assay.core.errors import AssayError, StudyError
from assay.core.files import write_text
from assay.core.registry import find
from assay.studies.compare import Comparison, compare, read_run, write_comparison
from assay.studies.environment import now
from assay.studies.plan import content_of
from assay.studies.report import write_report
from assay.studies.run import run_study
from assay.studies.schema import Matrix, ModelSpec, StepSpec, Study
from assay.studies.sources import Sources, default_sources
from assay.studies.watcher import Watcher

FORMAT = 1
FILE, PAGE, DATA = "matrix.json", "comparison.html", "comparison.json"


@dataclass(frozen=True)
class Combination:
    """One combination, and the study that it is."""

    name: str
    study: Study
    seed: int
    error: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "folder": self.name,
            "model": str(self.study.model),
            "seed": self.seed,
            "plan": codec.digest(content_of(self.study)),
            "error": self.error,
        }


@dataclass(frozen=True)
class MatrixRun:
    """What became of a matrix; `comparison` is None when fewer than two combinations came to their end."""

    root: Path
    done: tuple[Combination, ...]
    failed: tuple[Combination, ...]
    comparison: Comparison | None


def combinations(study: Study) -> tuple[Combination, ...]:
    """Every combination of a study's matrix, seeds innermost.

    Raises:
        StudyError: two of them would have the same folder.
    """
    matrix = study.matrix or Matrix()
    found = []
    for model in matrix.models or (study.model,):
        for revision in matrix.revisions or (model.revision,):
            spec = model.model_copy(update={"revision": revision})
            for seed in matrix.seeds or (0,):
                one = study.model_copy(update={"matrix": None, "model": spec})
                found.append(Combination(_name(spec, seed, matrix), with_seed(one, seed), seed))
    names = [each.name for each in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise StudyError(f"Two combinations would be in the folder {twice[0]!r}: give models whose names differ.")
    return tuple(found)


def with_seed(study: Study, seed: int) -> Study:
    """The study with a number added to every seed but the bootstrap's."""
    change = {"prompts": None} if seed else {}
    data = {name: spec.model_copy(update={"seed": spec.seed + seed} | change) for name, spec in study.data.items()}
    return study.model_copy(update={"data": data, "steps": {name: _seeded(s, seed) for name, s in study.steps.items()}})


def run_matrix(
    study: Study,
    root: Path,
    *,
    sources: Sources | None = None,
    watcher: Callable[[Combination], Watcher] | None = None,
    amend: bool = False,
) -> MatrixRun:
    """Run every combination that is not done yet, and compare those that are.

    Raises:
        StudyError: the matrix names a combination twice, or a study that can't be planned.
    """
    every = combinations(study)
    _record(root, every)
    shared = _keeping_one_model(sources or default_sources())
    done: list[Combination] = []
    failed: list[Combination] = []
    for each in every:
        try:
            run_study(each.study, root / each.name, sources=shared, watcher=watcher and watcher(each), amend=amend)
            write_report(root / each.name)
            done.append(each)
        except AssayError as error:
            failed.append(replace(each, error=str(error).splitlines()[0]))
    _record(root, (*done, *failed))
    comparison = None
    if len(done) > 1:
        comparison = compare([read_run(root / each.name, each.name) for each in done])
        write_comparison(comparison, root / PAGE)
        write_text(root / DATA, codec.pretty(comparison.as_data()))
    return MatrixRun(root, tuple(done), tuple(failed), comparison)


def _record(root: Path, every: tuple[Combination, ...]) -> None:
    content = {"format": FORMAT, "time": now(), "combinations": [each.as_data() for each in every]}
    write_text(root / FILE, codec.pretty(content))


def _keeping_one_model(sources: Sources) -> Sources:
    """The same sources, without loading a model again for the next seed."""
    kept: dict[ModelSpec, Any] = {}

    def model(spec: ModelSpec) -> Any:
        if spec not in kept:
            kept.clear()  # two large models at once may be more than there is memory for
            kept[spec] = sources.model(spec)
        return kept[spec]

    return Sources(model, sources.data)


def _seeded(step: StepSpec, seed: int) -> StepSpec:
    method = find(step.method)
    if "seed" not in method.settings.model_fields:
        return step
    now_seed = method.validated(step.settings).model_dump()["seed"]
    return step.model_copy(update={"settings": {**step.settings, "seed": now_seed + seed}})


def _name(spec: ModelSpec, seed: int, matrix: Matrix) -> str:
    parts = [Path(spec.name or "embedded").name]
    parts += [spec.revision] if spec.revision is not None and matrix.revisions else []
    parts += [f"seed{seed}"] if matrix.seeds else []
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))
