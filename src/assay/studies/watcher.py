"""Who is told how a run goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from assay.studies.estimate import Estimated
from assay.studies.plan import Plan


class Watcher(Protocol):
    """Who is told how a run goes."""

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """The plan is frozen, and these steps follow."""

    def estimated(self, steps: Mapping[str, Estimated]) -> None:
        """What the steps cost at least that are not done yet and need no earlier result."""

    def started(self, step: str) -> None:
        """A step begins."""

    def advanced(self, step: str, done: int, total: int) -> None:
        """A part of a step is done."""

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """A step is done, or was found done."""


class Silent:
    """A watcher that says nothing."""

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """Nothing."""

    def estimated(self, steps: Mapping[str, Estimated]) -> None:
        """Nothing."""

    def started(self, step: str) -> None:
        """Nothing."""

    def advanced(self, step: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """Nothing."""


class Under:
    """Tells another watcher of the steps of an alternative, under their name and its own."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        self.watcher, self.name = watcher, name

    def planned(self, plan: Plan, steps: list[str]) -> None:
        """Nothing: the study's own plan holds the alternative."""

    def estimated(self, steps: Mapping[str, Estimated]) -> None:
        """Nothing: its steps are told as they come."""

    def started(self, step: str) -> None:
        """A step begins."""
        self.watcher.started(f"{self.name}: {step}")

    def advanced(self, step: str, done: int, total: int) -> None:
        """A part of a step is done."""
        self.watcher.advanced(f"{self.name}: {step}", done, total)

    def finished(self, step: str, seconds: float, *, reused: bool) -> None:
        """A step is done, or was found done."""
        self.watcher.finished(f"{self.name}: {step}", seconds, reused=reused)
