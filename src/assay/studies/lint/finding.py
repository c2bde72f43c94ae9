"""One remark on a study file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """What is wrong with a study before it runs, where, and what to do about it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: str
    """Which check found it."""
    level: Literal["error", "warning"]
    """An error makes the verdict worthless; a warning is for the authors to weigh."""
    where: str
    """The place in the file, such as hypotheses.knows."""
    problem: str
    """What is wrong."""
    advice: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.problem} {self.advice}"


Findings = Iterator[Finding]
