"""`kill -9` at any moment: a second start loses what was in flight and nothing that was finished. Two writers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `killed.py` saw; about 15 s."""
    command = [sys.executable, "-m", "tests.engine.store.killed", str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_kills_at_random_moments(report: dict[str, Any]) -> None:
    runs = report["random"]
    assert sum(run["killed"] for run in runs) >= 15  # the others had ended before their moment came
    assert all(run["killed"] or run["code"] == 0 for run in runs)
    assert sum(run["before"] > 0 for run in runs) >= 5  # kills in the middle, with something to go on from
    for run in runs:
        assert run["again"] == 0  # what was on disk was not computed again
        assert run["gone"] == 0  # and is still there
        assert run["lost"] <= 1  # the variant whose part was about to be written
        assert run["damaged"] == []
    assert all(run["same"] for run in runs if run["code"] == 0)
    assert runs[-1]["code"] == 0 and runs[-1]["same"]


@pytest.mark.slow
def test_a_kill_in_the_middle_of_every_step(report: dict[str, Any]) -> None:
    """Half-written files, files that are not renamed yet, parts that are half removed."""
    steps = report["steps"]
    assert len(steps) > 30 and steps[-1]["code"] == 0
    assert all(step["code"] == -9 for step in steps[:-1])
    assert {step["pieces"] for step in steps} == {0, 1, 2, 3}
    assert any(step["result"] and step["pieces"] for step in steps)  # between the result and the removal of its parts
    for step in steps:
        assert step["second"] == 0 and step["same"] and step["damaged"] == []
    pieces = [3 if step["result"] else step["pieces"] for step in steps]
    assert pieces == sorted(pieces)  # the later the death, the more is kept


@pytest.mark.slow
@pytest.mark.parametrize("case", ["two", "two and a kill"])
def test_two_writers_at_once(report: dict[str, Any], case: str) -> None:
    both = report[case]
    assert both["codes"] == ([0, 0] if case == "two" else [0, -9])
    assert both["same"] == [True] * (2 if case == "two" else 1)
    assert both["kept"] and all(both["kept"])
    assert both["damaged"] == []
    assert all(both["computed"])  # both were at work
