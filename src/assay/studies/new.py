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
    "negative": "Large output weights make no difference",
    "probe": "Where a property can be read along a line",
    "monitor": "What a monitor made of a direction catches",
    "dictionary": "What a sparse dictionary of a layer holds",
    "steering": "Adding a direction changes what the model says",
}
QUESTIONS = {
    "circuit": "Which heads are enough for this behaviour?",
    "replication": "Does the published number hold here?",
    "negative": "Do heads with large output weights keep the behaviour no better than random ones?",
    "probe": "Can the property be read along a line, and in which layer?",
    "monitor": "Does a monitor made of a direction catch what it should, at the rate of false alarms that was set?",
    "dictionary": "What does a sparse dictionary of one layer hold?",
    "steering": "Does adding a direction steer the model, at a cost that is worth it?",
}
"""What a starter asks if no question is given."""
TASKS = {"probe": "agreement-attractor", "monitor": "sentiment", "steering": "sentiment", "dictionary": "sentiment"}
"""The task that a starter asks about if none is named; the others ask about indirect objects."""
TARGETS = {
    "sentiment": ("positive", "This is a positive review."),
    "gender-pronoun": ("she", "This is about a woman."),
    "agreement": ("are", "This is about several of them."),
    "agreement-attractor": ("are", "This is about several of them."),
}
"""Tasks that can be steered along one line: the label or answer to steer towards, and words that ask for the same."""


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
    if starter not in STARTERS:
        raise StudyError(f"{starter!r} is no starter: there are {', '.join(STARTERS)}.{nearest(starter, STARTERS)}")
    task = task or TASKS.get(starter, "ioi")
    if starter == "steering" and task not in TARGETS:
        raise StudyError(
            f"There is nothing to steer towards in {task!r}: its answers differ from prompt to prompt. "
            f"Tasks with two sides: {', '.join(TARGETS)}."
        )
    towards, instruction = TARGETS.get(task, ("", ""))
    source = files("assay.studies").joinpath(f"starters/{starter}.yaml.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(source).render(
        schema=SCHEMA,
        title=_quoted(title or f"{STARTERS[starter]}: {task}"),
        question=_quoted(question or QUESTIONS[starter]),
        task=_quoted(task),
        n=n,
        few=max(8, n // 4),
        half=max(12, n // 2),
        most=max(24, n),
        towards=_quoted(towards),
        instruction=_quoted(instruction),
        seed=seed,
        model=None if model is None else _quoted(model),
    )


def _quoted(text: str) -> str:
    """As YAML writes it on one line."""
    return yaml.safe_dump(text, allow_unicode=True, width=10_000, default_style='"').strip()
