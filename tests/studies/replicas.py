"""A finished small run with its bundle, and bundles in which somebody changed something and signed it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr
from tests.studies.small import model_folder

from assay.core import codec
from assay.studies.bundle import write_bundle
from assay.studies.bundle.archive import pack, unpack
from assay.studies.bundle.manifest import entry
from assay.studies.folder import RunFolder
from assay.studies.read import parse_study
from assay.studies.report import write_report
from assay.studies.run import run_study
from assay.studies.schema import ModelSpec, Study

SHORT = """\
title: Small
question: Does an untrained model know who is given the drink?
data:
  test: {task: ioi, split: test, n: 6}
  find: {task: ioi, split: train, n: 4, templates: [train-2-ABBA, train-2-BABA]}  # not in the order of the alphabet
steps:
  accuracy: {method: task_accuracy, data: test}
  heads: {method: patch_heads, data: find, settings: {direction: denoise}}
  chosen: {method: smallest_heads, data: test, needs: {scores: heads}, settings: {ablation: counterfactual}}
hypotheses:
  - id: chance
    statement: An untrained model is at chance.
    quantity: {step: accuracy, variable: correct}
    prediction: "in [0.01, 0.99]"
    smallest_effect: 0.5
    baselines:
      - {name: its logit difference, quantity: {step: accuracy, variable: logit_diff}}
  - id: knows
    statement: It knows well.
    quantity: {step: accuracy, variable: logit_diff}
    prediction: "> 5"
    smallest_effect: 0.5
analysis: {resamples: 200, control_time: 0}
limitations: [The model is untrained.]
"""


@dataclass(frozen=True)
class Place:
    """A model, a finished run and its bundle."""

    model: Path
    run: Path
    bundle: Path


def short_study(model: Path | None = None, text: str = SHORT) -> Study:
    """The study, on a model."""
    study = parse_study(text)
    return study if model is None else study.model_copy(update={"model": ModelSpec(name=str(model))})


def finished(folder: Path, text: str = SHORT) -> Place:
    """Run it, and bundle it."""
    model = model_folder(folder / "model")
    run_study(short_study(model, text), folder / "run")
    write_report(folder / "run")
    return Place(model, folder / "run", write_bundle(folder / "run", folder / "run.zip"))


Files = dict[str, bytes]


def changed(bundle: Path, out: Path, change: Callable[[Files], None], *, sign: bool = True) -> Path:
    """A bundle in which something was changed; `sign` makes its hashes those of the changed files."""
    files = unpack(bundle)
    change(files)
    if sign:
        manifest = json.loads(files["bundle.json"])
        manifest["files"] = {
            name: entry(content).model_dump() for name, content in files.items() if name != "bundle.json"
        }
        files["bundle.json"] = codec.pretty(manifest).encode()
    return pack(files, out)


def edit_json(files: Files, name: str, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    content = json.loads(files[name])
    change(content)
    files[name] = codec.pretty(content).encode()


def edit_result(files: Files, step: str, change: Callable[[xr.Dataset], None], folder: Path, **other: Any) -> None:
    """Change a step's numbers, or what is said beside them."""
    run = RunFolder(folder)
    path = run.result_path(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files[f"results/{step}.parquet"])
    result = run.load(step)
    data = result.data.copy(deep=True)
    change(data)
    run.save(replace(result, data=data, **other))
    files[f"results/{step}.parquet"] = path.read_bytes()


def edit_plan(files: Files, change: Callable[[Any], None]) -> None:
    """Change the plan in force, and every hash of it."""

    def edit(content: Any) -> None:
        plan = content["plans"][-1]
        change(plan["content"])
        hashes.append((plan["hash"], codec.digest(plan["content"])))
        plan["hash"] = hashes[0][1]

    hashes: list[tuple[str, str]] = []
    edit_json(files, "plan.json", edit)
    old, new = (each.encode() for each in hashes[0])
    for name in ("bundle.json", "conclusion.json"):
        files[name] = files[name].replace(old, new)
