"""The folder of a result: the experiment beside what it gave."""

from __future__ import annotations

from pathlib import Path

from assay.core.errors import StorageError
from assay.core.result import Result
from assay.experiments.experiment import Experiment

EXPERIMENT, RESULT = "experiment.json", "result.npz"


def check_folder(folder: Path, experiment: Experiment) -> None:
    """Refuse a folder with another experiment's result, before anything is run."""
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file: expected a folder, or a name that is not taken.")
    if (folder / EXPERIMENT).exists() and Experiment.load(folder / EXPERIMENT).hash != experiment.hash:
        raise StorageError(f"{folder} holds the result of another experiment: choose another folder, or remove it.")


def write_folder(folder: Path, experiment: Experiment, result: Result) -> Path:
    """Write both; gives the path of the result."""
    experiment.save(folder / EXPERIMENT)
    return result.save(folder / RESULT)
