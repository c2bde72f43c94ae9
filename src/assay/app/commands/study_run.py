"""`assay study run`: one study on one model, or on several models, revisions and seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assay.studies.schema import Matrix, Study
    from assay.studies.sources import Sources

SEVERAL = "several, with commas between them"


def run(
    path: Annotated[Path, typer.Argument(help="The study file (YAML, or Python with --python).")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; runs/<name of the study>[-<model>] if left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model: a hub id, a folder, or a .gguf file.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub repository.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast to float32, bfloat16, ...; by default as stored.")] = None,
    models: Annotated[list[str] | None, typer.Option(help=f"A matrix: models, {SEVERAL}.")] = None,
    revisions: Annotated[list[str] | None, typer.Option(help=f"A matrix: revisions, {SEVERAL}.")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help=f"A matrix: seeds, {SEVERAL}; 0 is the study itself.")] = None,
    amend: Annotated[
        bool, typer.Option("--amend", help="Go on in a folder that holds another plan; the change is recorded.")
    ] = False,
    ray: Annotated[
        str | None, typer.Option(help="Share sweeps out over a Ray cluster: its address, or `local` for this machine.")
    ] = None,
    python: Annotated[
        bool, typer.Option("--python", help="The file is a Python program: run it, and take what it calls `study`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the conclusion as JSON.")] = False,
) -> None:
    """Run a study: freeze its plan, do its steps, judge its hypotheses, write its report.

    Steps that are done are not done again, so a run that was stopped goes on where it was. With --models, --revisions or
    --seeds, or a `matrix` in the file, each combination is a run of its own, and a page says which claims hold where.

    \b
    Examples:
      assay study run examples/ioi/study.yaml
      assay study run examples/ioi/study.yaml --model gpt2 --out runs/gpt2
      assay study run examples/ioi/study.yaml --seeds 0,1,2 --models gpt2,EleutherAI/pythia-160m
      assay study run examples/ioi/study.yaml --ray local
      assay study run my_study.py --python
    """
    from assay.app.python_study import study_in

    asked = _with_model(study_in(path, python=python), model, revision, dtype)
    matrix = _matrix(asked, models, revisions, seeds)
    with _sources(ray) as sources:
        if matrix is None:
            folder = out or default_folder(path, model)
            _one(asked, folder, sources=sources, amend=amend, as_json=as_json)
        else:
            folder = out or Path(f"{default_folder(path, model)}-matrix")
            _several(asked.model_copy(update={"matrix": matrix}), folder, sources=sources, amend=amend, as_json=as_json)


@contextmanager
def _sources(ray: str | None) -> Iterator[Sources | None]:
    """Where models come from; on a cluster, workers stay until the study has ended."""
    if ray is None:
        yield None
        return
    from assay.core.extras import need
    from assay.studies.on_ray import cluster_at, on_ray
    from assay.studies.sources import default_sources

    need("ray", extra="ray", why="--ray")
    with cluster_at(ray) as cluster:
        yield on_ray(default_sources(), cluster)


def _one(asked: Study, folder: Path, *, sources: Sources | None, amend: bool, as_json: bool) -> None:
    from assay.app.study_display import Bars, show_conclusion
    from assay.studies.corrected import what_holds
    from assay.studies.report import write_report
    from assay.studies.run import run_study

    with Bars(quiet=as_json) as bars:
        done = run_study(asked, folder, sources=sources, watcher=bars, amend=amend)
        write_report(folder)
    if as_json:
        typer.echo(done.conclusion.model_dump_json(indent=2))
    else:
        holds = what_holds(asked.analysis, len(asked.hypotheses))
        show_conclusion(done.conclusion, folder, title=asked.title, holds=holds)


def _several(asked: Study, folder: Path, *, sources: Sources | None, amend: bool, as_json: bool) -> None:
    from assay.app.comparison_display import show_comparison
    from assay.app.study_display import Bars
    from assay.studies.matrix import PAGE, Combination, run_matrix

    def watch(each: Combination) -> Bars:
        bars = Bars(quiet=as_json)
        bars.console.print(f"\n{each.name}")
        return bars

    done = run_matrix(asked, folder, sources=sources, watcher=watch, amend=amend)
    if as_json:
        failed = [each.as_data() for each in done.failed]
        compared = None if done.comparison is None else done.comparison.as_data()
        typer.echo(json.dumps({"folder": str(folder), "failed": failed, "comparison": compared}, indent=2))
    elif done.comparison is not None:
        show_comparison(done.comparison)
        typer.echo(f"page     {folder / PAGE}")
    for each in done.failed:
        typer.echo(f"{each.name}: {each.error}", err=True)
    if done.failed:
        raise typer.Exit(1)


def _with_model(asked: Study, model: str | None, revision: str | None, dtype: str | None) -> Study:
    changes: dict[str, Any] = {"name": model, "revision": revision, "dtype": dtype}
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        return asked
    fresh = given if model is not None else asked.model.model_dump() | given  # another model: nothing of the first
    return asked.model_copy(update={"model": type(asked.model)(**fresh)})


def _matrix(
    asked: Study, models: list[str] | None, revisions: list[str] | None, seeds: list[str] | None
) -> Matrix | None:
    """The matrix that is asked for: what the command says, else what the file does."""
    from assay.studies.schema import Matrix

    given = {"models": models, "revisions": revisions, "seeds": seeds}
    said: dict[str, Any] = {name: _listed(values) for name, values in given.items() if values}
    if any(not each.isdecimal() for each in said.get("seeds", ())):
        raise typer.BadParameter("seeds are whole numbers from 0, such as 0,1,2.", param_hint="--seeds")
    if not said:
        return asked.matrix
    inside = {} if asked.matrix is None else asked.matrix.model_dump()
    return Matrix.model_validate(inside | said)


def _listed(values: list[str]) -> list[str]:
    """`--seeds 0,1 --seeds 2` → 0, 1, 2, each once."""
    return list(dict.fromkeys(each.strip() for value in values for each in value.split(",") if each.strip()))


def default_folder(path: Path, model: str | None) -> Path:
    """`runs/ioi` for examples/ioi/study.yaml; with another model, its name behind it."""
    stem = path.parent.name if path.stem == "study" and path.parent.name else path.stem
    tail = "" if model is None else "-" + re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").split("/")[-1])
    return Path("runs") / (stem + tail)
