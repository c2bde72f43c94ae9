"""A folder that MIB's leaderboard takes: one folder for each task and model, with scores or with nine circuits in it.

    ioi_gpt2/importances.json                       one score for each edge or node
    arc-easy_llama3/0.1.json … 50.json              nine circuits of at most .1, .2, .5, 1, 2, 5, 10, 20 and 50 % of all edges

The leaderboard wants at least two tasks and two models. Nothing is sent anywhere. Source: README of
hannamw/MIB-circuit-track (arXiv:2504.13151).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from assay.circuits.circuit import Circuit
from assay.circuits.mib_format import write_mib
from assay.core.errors import DataError, nearest
from assay.core.files import atomic_folder

PERCENTAGES = ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50")
COLUMNS = (
    "ioi_gpt2", "ioi_qwen2.5", "ioi_gemma2", "ioi_llama3", "mcqa_qwen2.5", "mcqa_gemma2", "mcqa_llama3",
    "arithmetic-addition_llama3", "arithmetic-subtraction_llama3", "arc-easy_gemma2", "arc-easy_llama3",
    "arc-challenge_llama3", "ioi_interpbench",
)  # fmt: skip
"""The task and model of each column of the leaderboard."""

Entry = Circuit | Sequence[Circuit]


def write_submission(
    folder: str | os.PathLike[str],
    entries: Mapping[str, Entry],
    *,
    d_model: Mapping[str, int],
    form: Literal["json", "pt"] = "json",
) -> list[str]:
    """Write a submission, whole or not at all; gives what the leaderboard would still object to.

    `entries` maps columns such as `ioi_gpt2` to one circuit with scores, or to nine circuits, smallest first; `d_model`
    maps the models' names (`gpt2`) to their widths.

    Raises:
        DataError: an unknown column, a circuit without scores, nine circuits that are too large.
    """
    for column, entry in entries.items():
        _check(column, entry, d_model)
    with atomic_folder(folder) as temporary:
        for column, entry in entries.items():
            width = d_model[_model(column)]
            place = temporary / column
            place.mkdir()
            if isinstance(entry, Circuit):
                write_mib(entry, place / f"importances.{form}", d_model=width)
            else:
                for percentage, circuit in zip(PERCENTAGES, entry, strict=True):
                    write_mib(circuit, place / f"{percentage}.{form}", d_model=width, with_scores=False)
    return objections(entries)


def objections(columns: Mapping[str, object] | Sequence[str]) -> list[str]:
    """What keeps these columns from being a valid submission."""
    tasks, models = {name.partition("_")[0] for name in columns}, {_model(name) for name in columns}
    few = [(len(tasks), "task"), (len(models), "model")]
    return [f"{count} {what} only: the leaderboard wants at least two {what}s" for count, what in few if count < 2]


def read_submission(folder: str | os.PathLike[str]) -> dict[str, Circuit | list[Circuit]]:
    """The circuits of a submission's folder, by column.

    Raises:
        DataError: a folder that is no column, or that holds neither one file nor nine.
    """
    found: dict[str, Circuit | list[Circuit]] = {}
    for place in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        _known(place.name)
        files = [path for path in place.iterdir() if path.suffix in (".json", ".pt")]
        if len(files) == 1:
            found[place.name] = Circuit.load(files[0])
        elif len(files) == len(PERCENTAGES):
            found[place.name] = sorted(map(Circuit.load, files), key=lambda circuit: circuit.edge_count)
        else:
            raise DataError(f"{place.name} holds {len(files)} circuits: expected one with scores, or nine.")
    if not found:
        raise DataError(f"{folder} holds no folder of a task and model, such as ioi_gpt2.")
    return found


def _check(column: str, entry: Entry, d_model: Mapping[str, int]) -> None:
    _known(column)
    if _model(column) not in d_model:
        raise DataError(f"The width of {_model(column)} is not given: add it to d_model.")
    if isinstance(entry, Circuit):
        if entry.scores is None:
            raise DataError(
                f"{column}: a single circuit needs the scores that it was chosen by, or give nine circuits."
            )
        return
    if len(entry) != len(PERCENTAGES):
        raise DataError(
            f"{column}: {len(entry)} circuits; nine are wanted, of at most {', '.join(PERCENTAGES)} % of edges."
        )
    for percentage, circuit in zip(PERCENTAGES, entry, strict=True):
        most = float(percentage) / 100 * circuit.graph.edge_count
        if circuit.edge_count > most:
            raise DataError(
                f"{column}: the circuit for {percentage} % has {circuit.edge_count:,} edges; at most {int(most):,} may be in."
            )


def _known(column: str) -> None:
    if column not in COLUMNS:
        raise DataError(
            f"{column!r} is no column of the leaderboard, TASK_MODEL such as ioi_gpt2.{nearest(column, COLUMNS)}"
        )


def _model(column: str) -> str:
    return column.partition("_")[2]
