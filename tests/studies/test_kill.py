"""A study that is killed at every step, at its beginning and in the middle of writing, comes to the same end.

The kills are SIGKILL, which nothing can answer. One process imports everything once and forks for each kill: seconds, where
starting anew each time would take minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import xarray as xr
from tests.studies.small import TEXT, model_folder

from assay.studies.conclusion import read_conclusion
from assay.studies.folder import RunFolder
from assay.studies.plan import read_plan
from assay.studies.read import parse_study
from assay.studies.run import Silent, Sources, default_sources, run_study
from assay.studies.schema import ModelSpec, Study

WHERE = ("started", "written", "saved")
"""Before a step, when half of its result is on the disk, and when all of it is, but the log doesn't know."""


class Killer(Silent):
    """Kills its own process when a step begins."""

    def __init__(self, step: str) -> None:
        self.step = step

    def started(self, step: str) -> None:
        """A step begins."""
        if step == self.step:
            die()


def die() -> None:
    """Now, without a word."""
    os.kill(os.getpid(), 9)


def study_of(model: str) -> Study:
    """The small study with every kind of step."""
    study = parse_study(TEXT.replace("{resamples: 200}", "{resamples: 200, control_time: 0}"))
    return study.model_copy(update={"model": ModelSpec(name=model)})


def killed_run(study: Study, folder: Path, sources: Sources, *, step: str, where: str) -> None:
    """Run until the kill."""

    write, save = pq.write_table, RunFolder.save

    def half(table: Any, path: Path, **options: Any) -> None:
        write(table, path, **options)
        if where == "written" and path.name.startswith(f".{step}.parquet"):
            path.write_bytes(path.read_bytes()[:100])
            die()

    def saved(self: RunFolder, result: Any) -> None:
        save(self, result)
        if where == "saved" and result.step == step:
            die()

    pq.write_table, RunFolder.save = half, saved  # type: ignore[method-assign]
    run_study(study, folder, sources=sources, watcher=Killer(step if where == "started" else ""))


def main(model: str, folder: str) -> None:
    """Fork, run and be killed at every step in all ways; print each child's signal, and what is done after it."""
    study, given = study_of(model), default_sources()
    loaded = given.model(study.model)
    prompts = {spec.model_dump_json(): given.data(spec, loaded) for spec in study.data.values()}
    sources = Sources(lambda _: loaded, lambda spec, _: prompts[spec.model_dump_json()])
    run_study(study, Path(f"{folder}-whole"), sources=sources)  # what it finds out of the model, forks need not again
    seen = []
    for step in study.steps:
        for where in WHERE:
            child = os.fork()
            if child == 0:
                killed_run(study, Path(folder), sources, step=step, where=where)
                os._exit(3)  # it was to be killed before
            _, status = os.waitpid(child, 0)
            there = sorted(path.name for path in (Path(folder) / "results").glob("[!.]*"))
            seen.append([step, where, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, there])
    print(json.dumps(seen))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("kill") / "model")


def test_killed_at_every_step_it_comes_to_the_same_end(model: Path, tmp_path: Path) -> None:
    start = "import sys; from tests.studies.test_kill import main; main(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", start, str(model), str(tmp_path / "killed")],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},  # other threads don't live in a fork
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    study = study_of(str(model))
    steps = list(study.steps)
    for step, where, signal, there in seen:
        done_before = steps[: steps.index(step) + (where == "saved")]
        assert signal == 9, (step, where)
        assert there == sorted(f"{name}.parquet" for name in done_before), (step, where)
    assert len(seen) == len(WHERE) * len(steps)
    last = run_study(study, tmp_path / "killed")
    whole = run_study(study, tmp_path / "killed-whole")
    assert last.plan.hash == whole.plan.hash and len(read_plan(tmp_path / "killed").frozen) == 1
    for name in steps:
        xr.testing.assert_equal(last.folder.load(name).data, whole.folder.load(name).data)
    assert [each.number for each in read_conclusion(tmp_path / "killed").judgements] == [
        each.number for each in read_conclusion(tmp_path / "killed-whole").judgements
    ]
    log = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert not [line for line in log if line["event"] == "step" and not line["reused"]], (
        "each was saved just before a kill"
    )
