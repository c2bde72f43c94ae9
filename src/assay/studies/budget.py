"""The time and memory that a study may take: it stops before a step that would exceed them, and can be gone on with.

What a step would take is known in three ways, each from the one before it where that is silent: the engine's plan of its
first experiment (`estimate.py`, a lower bound), what it has taken so far with how far it has come (once that is a twentieth
and a second), and nothing, in which case it is only not begun when the budget is used up. A step that is stopped is lost,
those before it are kept. Memory is this process's, with the model in it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from assay.core.errors import StudyError
from assay.studies.estimate import Estimated
from assay.studies.schema import Budget

PART, SECONDS = 0.05, 1.0
"""How much of a step must be done, and how long it must have taken, before its speed says how long all of it takes."""


class BudgetError(StudyError):
    """A step would exceed the study's budget."""


class Purse:
    """What is left of a budget."""

    def __init__(self, budget: Budget, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.budget, self.clock, self.spent = budget, clock, 0.0

    def pay(self, seconds: float) -> None:
        """A step is done, now or in an earlier start of the same run."""
        self.spent += seconds

    def check(self, step: str, estimated: Estimated) -> None:
        """Before a step.

        Raises:
            BudgetError: it would exceed what is left, as far as that is known.
        """
        if self.budget.seconds is not None:
            self._time(
                step, self.spent + (estimated.seconds or 0.0), "is estimated to take at least", estimated.seconds
            )
        if self.budget.gigabytes is not None:
            needed = (resident() + (estimated.bytes or 0)) / 1e9
            if needed > self.budget.gigabytes:
                raise BudgetError(
                    f"Step {step!r} would need about {needed:.2f} GB, and the study's budget is "
                    f"{self.budget.gigabytes:g} GB. Raise `budget.gigabytes`, or take fewer examples."
                )

    def watch(self, step: str) -> Callable[[int, int], None]:
        """What listens to a step's progress, and ends it when it is going to exceed what is left."""
        began = self.clock()

        def listen(done: int, total: int) -> None:
            taken = self.clock() - began
            if self.budget.seconds is None or not total or not done:
                return
            if taken >= SECONDS and done / total >= PART:
                whole = taken * total / done
                self._time(step, self.spent + whole, "is going to take", whole)

        return listen

    def _time(self, step: str, then: float, how: str, seconds: float | None) -> None:
        limit = self.budget.seconds
        if limit is None or (then <= limit and self.spent < limit):
            return
        would = f" and step {step!r} {how} {seconds:.0f} s" if seconds else f", before step {step!r}"
        raise BudgetError(
            f"The study's budget is {limit:g} s; {self.spent:.0f} s are used{would}. Finished steps are kept: raise "
            "`budget.seconds`, and the same command goes on from here."
        )


def resident() -> int:
    """The memory of this process now, in bytes; where the system doesn't say that, the most that it has had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
