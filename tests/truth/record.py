"""What was measured for the page: tests/truth/which_method.json, one number for each seed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.truth.contestants import LEVELS, scored, wanted
from tests.truth.stories import CF, STORIES, N

from assay.core.errors import SettingsError
from assay.training.planted import NAMES, TRAINED, Situation, situation

PATH = Path(__file__).with_name("which_method.json")
SEEDS = (0, 1, 2)
SLOW = ("learned mask, top k", "learned mask, hard concrete")
"""These have one seed: each takes as long as all others together."""
Record = dict[str, Any]


def recorded() -> Record:
    """`scores`: situation → level → method → seed → [AUROC, average precision], or why not; `stories`: name → seed →
    numbers."""
    return json.loads(PATH.read_text()) if PATH.exists() else {"scores": {}, "stories": {}}


def write(record: Record) -> None:
    PATH.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def measure(planted: Situation, level: str, method: str, seed: int) -> list[float] | str:
    """One cell, or why there is none."""
    truth = wanted(planted, CF, level)
    if not truth:
        return "nothing of this kind is in the truth"
    try:
        scores = LEVELS[level][method](planted, CF, seed)
    except SettingsError as error:
        return str(error)
    if truth == set(scores.components):
        return "everything is in the truth"
    found = scored(scores, truth)
    return [round(found.auroc, 4), round(found.average_precision, 4)]


def fill(record: Record) -> Iterator[str]:
    """Measure what is not in the record yet; says what is done."""
    for seed in SEEDS:
        for name, story in STORIES.items():
            seen = record["stories"].setdefault(name, {})
            if str(seed) not in seen:
                seen[str(seed)] = {key: float(f"{value:.4g}") for key, value in story(seed).items()}
                yield f"{name}, seed {seed}"
        for name in (*NAMES, TRAINED):
            started, planted = time.perf_counter(), situation(name, seed=seed, n=N)
            for level, method in missing(record, name, seed):
                cell = record["scores"].setdefault(name, {}).setdefault(level, {}).setdefault(method, {})
                cell[str(seed)] = measure(planted, level, method, seed)
            yield f"{name}, seed {seed}: {time.perf_counter() - started:.0f} s"


def missing(record: Record, name: str, seed: int) -> list[tuple[str, str]]:
    """Levels and methods that a situation has no number for."""
    known = record["scores"].get(name, {})
    return [
        (level, method)
        for level, methods in LEVELS.items()
        for method in methods
        if str(seed) not in known.get(level, {}).get(method, {}) and (seed == SEEDS[0] or method not in SLOW)
    ]
