"""Timing of rivals side by side: interleaved rounds, so that whatever else the machine does hits all of them alike.

In every round each rival runs once, in an order drawn anew, and its time is divided by the time of the round's own
baseline (the mean of one run before the round and one after it). What counts is the median of these ratios; the
smallest and the largest are shown beside it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """What one rival took: ratios to the baseline, its fastest run in seconds, and the seconds of every round."""

    ratio: float
    least: float
    most: float
    seconds: float
    rounds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """`wall` is what a person waits for; `cpu` is this process's own share, for a machine that is also busy."""

    name: str = "wall"

    def time(self, work: Work) -> float:
        read = time.perf_counter if self.name == "wall" else time.process_time
        start = read()
        work()
        return read() - start


def measure(
    baseline: Work, rivals: Mapping[str, Work], *, rounds: int, clock: Clock, seed: int = 0
) -> dict[str, Timing]:
    """Time all rivals against the baseline, which is a rival itself: its own ratios show the noise."""
    everyone = {"baseline": baseline, **rivals}
    for work in everyone.values():
        work()
    order, ratios, seconds = random.Random(seed), {}, {}
    before = clock.time(baseline)
    for _ in range(rounds):
        names = list(everyone)
        order.shuffle(names)
        took = {name: clock.time(everyone[name]) for name in names}
        after = clock.time(baseline)
        for name, t in took.items():
            ratios.setdefault(name, []).append(t / ((before + after) / 2))
            seconds.setdefault(name, []).append(t)
        before = after
    return {
        name: Timing(statistics.median(found), min(found), max(found), min(seconds[name]), seconds[name])
        for name, found in ratios.items()
    }
