"""What the embedded model scores on each family, measured by `scripts/measure_tasks.py` and kept in `measured.json`.

A task that the model can't do is not evidence about how it does it: `task` puts the verdict into the facts of its
pairs.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["can do", "partly", "cannot"]


class Measurement(BaseModel):
    """The embedded model on one family and split (or on all splits together)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    """Task family."""
    split: str
    """train, validation, test, or all."""
    n: int
    """Different prompts measured."""
    accuracy: float
    """Share of prompts whose likeliest right answer beats every wrong answer listed."""
    interval: tuple[float, float]
    """Wilson 95 % interval of the accuracy."""
    logit_diff: float
    """Mean logit of the first right answer minus that of the first wrong one."""
    top1: float
    """Share of prompts whose likeliest next token is a right answer."""
    probability: float
    """Mean probability of the right answers together."""


class Measured(BaseModel):
    """All measurements of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Name of the model."""
    fingerprint: str
    """Fingerprint of its weights."""
    tokenizer: str
    """Fingerprint of its tokenizer."""
    rows: tuple[Measurement, ...]
    """One for each family and split."""
    verdicts: dict[str, Verdict]
    """For each family: can do, partly, or cannot."""

    def row(self, family: str, split: str = "all") -> Measurement | None:
        """One measurement, if it was made."""
        return next((row for row in self.rows if (row.family, row.split) == (family, split)), None)


@lru_cache(maxsize=1)
def measured() -> Measured | None:
    """The measurements that came with this version, or None when there are none."""
    path = files("assay.data").joinpath("measured.json")
    return Measured.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def standing(family: str, tokenizer: str | None) -> list[str]:
    """What is known of the embedded model on a family, in one line; nothing for another model's tokenizer."""
    known = measured()
    row = known.row(family) if known is not None else None
    if known is None or row is None or tokenizer != known.tokenizer:
        return []
    low, high = row.interval
    line = f"{known.model} scores {row.accuracy:.2f} [{low:.2f}, {high:.2f}] on {family} (n={row.n}): "
    return [line + REMARKS[known.verdicts[family]]]


REMARKS: dict[Verdict, str] = {
    "can do": "can do",
    "partly": "does it partly, read results with care",
    "cannot": "cannot do it, not to be used as evidence",
}
