"""What each step cost beside what was estimated before it: from the run's log and the stored results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.studies.folder import StepResult


@dataclass(frozen=True)
class Cost:
    """Actual and estimated; None where it is not known. Estimates are lower bounds: of a step's first experiment."""

    seconds: float
    passes: int | None = None
    token_layers: int | None = None
    estimated_seconds: float | None = None
    estimated_token_layers: int | None = None
    why_not: str | None = None

    @property
    def estimate(self) -> str:
        """The estimate in words."""
        if self.estimated_seconds is None:
            return "not told" if self.why_not else "–"
        work = self.estimated_token_layers
        return f"≥ {duration(self.estimated_seconds)}" + (f", {work:,} token-layers" if work else "")


def costs_of(results: Mapping[str, StepResult], log: Path) -> dict[str, Cost]:
    """The cost of each step; the last estimate that the log holds of it."""
    estimated = _estimates(log)
    return {name: _cost(result, estimated.get(name, {})) for name, result in results.items()}


def _cost(result: StepResult, told: Mapping[str, Any]) -> Cost:
    return Cost(
        seconds=result.seconds,
        passes=result.cost.get("passes") or None,
        token_layers=result.cost.get("token_layers") or None,
        estimated_seconds=told.get("seconds"),
        estimated_token_layers=told.get("token_layers"),
        why_not=told.get("why_not"),
    )


def _estimates(log: Path) -> dict[str, dict[str, Any]]:
    if not log.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that a crash cut short
        if isinstance(row, dict) and row.get("event") == "estimate":
            found[str(row.get("step"))] = row
    return found


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.0005 else "0 s"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
