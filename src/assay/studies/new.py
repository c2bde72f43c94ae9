"""A new study file from a starter: a plan that runs as it stands, to be changed before it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from assay.core.codec import pretty
from assay.core.errors import StudyError, nearest
from assay.core.files import write_text
from assay.studies.json_schema import study_schema
from assay.studies.read import parse_study

SCHEMA = "study.schema.json"
"""The schema's file beside the study, for completion in editors."""

STARTERS = {
    "circuit": "Which heads are enough for a behaviour",
    "replication": "Does a published number hold here",
    "negative": "Something that is expected makes no difference",
    "probe": "Where a property can be read along a line",
    "monitor": "What a monitor made of a direction catches",
}
TASKS = {"probe": "agreement-attractor", "monitor": "sentiment"}
"""The task that a starter asks about if none is named; the others ask about indirect objects."""
LATER = {
    "steering": "a method that steers and measures what it costs",
    "dictionary": "a method that trains or reads dictionaries",
}
"""Kinds of study whose methods are not in the registry yet, and what they wait for."""


def new_study(starter: str, path: Path, *, overwrite: bool = False, **answers: Any) -> Path:
    """Write a study file, and the schema beside it.

    `answers` are title, question, task, n, seed and model; what is left out keeps its default.

    Raises:
        StudyError: no such starter, or the file exists.
    """
    text = starter_text(starter, **answers)
    if path.exists() and not overwrite:
        raise StudyError(f"{path} exists already: choose another name, or pass --overwrite.")
    parse_study(text, name=str(path))
    write_text(path.parent / SCHEMA, pretty(study_schema()))
    write_text(path, text)
    return path


def starter_text(
    starter: str,
    *,
    title: str | None = None,
    question: str | None = None,
    task: str | None = None,
    n: int = 96,
    seed: int = 0,
    model: str | None = None,
) -> str:
    """The text of a new study file."""
    if starter in LATER:
        raise StudyError(
            f"There is no starter for {starter} yet: this version has no {LATER[starter].removeprefix('a ')}. "
            f"There are: {', '.join(STARTERS)}."
        )
    if starter not in STARTERS:
        raise StudyError(
            f"{starter!r} is no starter: there are {', '.join(STARTERS)}.{nearest(starter, [*STARTERS, *LATER])}"
        )
    task = task or TASKS.get(starter, "ioi")
    source = files("assay.studies").joinpath(f"starters/{starter}.yaml.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(source).render(
        schema=SCHEMA,
        title=_quoted(title or f"{STARTERS[starter]}: {task}"),
        question=_quoted(question or f"{STARTERS[starter]}? (task {task})"),
        task=_quoted(task),
        n=n,
        few=max(8, n // 4),
        half=max(12, n // 2),
        most=max(24, n),
        seed=seed,
        model=None if model is None else _quoted(model),
    )


def _quoted(text: str) -> str:
    """As YAML writes it on one line."""
    return yaml.safe_dump(text, allow_unicode=True, width=10_000, default_style='"').strip()
