"""Prompts with what the model did on each, the worst first, named positions marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.studies.folder import StepResult
from assay.studies.report.contents import Contents

WORST_BY = ("logit_diff", "score", "prob", "correct")
SHOWN = ("correct", "top", "logit_diff", "corrupt_logit_diff", "prob")
MOST_PROMPTS = 500
"""A page with more rows opens slowly; all are in the run folder."""
Piece = tuple[str, str | None]


@dataclass(frozen=True)
class Shown:
    """One example."""

    index: int
    clean: tuple[Piece, ...]
    corrupt: tuple[Piece, ...]
    answer: str
    wrong: str
    template: str
    numbers: dict[str, float]

    @property
    def prompt(self) -> str:
        """The prompt in one piece."""
        return "".join(text for text, _ in self.clean)


@dataclass(frozen=True)
class ShownSet:
    """The examples of a data set, the worst first by `worst_by`, if there is a number to go by."""

    name: str
    about: str
    examples: tuple[Shown, ...]
    columns: tuple[str, ...]
    worst_by: str | None
    facts: tuple[str, ...]
    left_out: int = 0


def shown_prompts(contents: Contents) -> list[ShownSet]:
    """Every data set of the study; the one that most is known of first."""
    sets = [_set(contents, name) for name in contents.study.data]
    return sorted(sets, key=lambda each: -len(each.columns))


def _set(contents: Contents, name: str) -> ShownSet:
    spec, found = contents.study.data[name], contents.prompts[name]
    numbers = _numbers([each for each in contents.results.values() if each.examples == name], len(found.examples))
    examples = [_shown(i, row, {key: float(each[i]) for key, each in numbers.items()})
                for i, row in enumerate(found.examples)]  # fmt: skip
    worst_by = next((key for key in WORST_BY if key in numbers), None)
    if worst_by is not None:
        examples.sort(key=lambda each: each.numbers[worst_by])
    wordings = len({each.template for each in examples})
    about = f"{len(examples)} prompts, {spec}, split {spec.split}, seed {spec.seed}, {wordings} wordings"
    left_out = max(0, len(examples) - MOST_PROMPTS)
    return ShownSet(name, about, tuple(examples[:MOST_PROMPTS]), tuple(numbers), worst_by, found.facts, left_out)


def _numbers(results: Iterable[StepResult], n: int) -> dict[str, np.ndarray]:
    """What steps say of each example alone."""
    found: dict[str, np.ndarray] = {}
    for result in results:
        for name in SHOWN:
            if name in result.data and result.data[name].dims == ("example",) and result.data.sizes["example"] == n:
                found.setdefault(name, result.data[name].values.astype(float))
    return found


def _shown(index: int, row: Mapping[str, Any], numbers: dict[str, float]) -> Shown:
    return Shown(
        index,
        clean=_marked(row, "clean"),
        corrupt=_marked(row, "corrupt"),
        answer=_first(row.get("answers")),
        wrong=_first(row.get("wrong")),
        template=str(row.get("template", "")),
        numbers=numbers,
    )


def _marked(row: Mapping[str, Any], side: str) -> tuple[Piece, ...]:
    """The prompt in pieces; those that a named position covers have its name."""
    prompt = row.get(side, "")
    if not isinstance(prompt, str):
        return ((" ".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt), None),)
    spans = sorted(_spans(row.get("positions"), side, len(prompt)))
    pieces: list[Piece] = []
    end = 0
    for start, stop, name in spans:
        if start >= end:
            pieces += [(prompt[end:start], None), (prompt[start:stop], name)]
            end = stop
    return tuple(piece for piece in [*pieces, (prompt[end:], None)] if piece[0])


def _spans(positions: Any, side: str, length: int) -> Iterable[tuple[int, int, str]]:
    if not isinstance(positions, dict):
        return
    for name, place in positions.items():
        span = place.get(side) if isinstance(place, dict) else None
        if isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span):
            start, stop = span
            if 0 <= start < stop <= length:
                yield start, stop, str(name)


def _first(answers: Any) -> str:
    if isinstance(answers, list | tuple):
        return str(answers[0]) if answers else ""
    return "" if answers is None else str(answers)
