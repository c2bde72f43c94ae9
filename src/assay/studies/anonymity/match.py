"""What looking into a piece of text gives: spans with a kind, a certainty, and what could stand there instead."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from assay.studies.anonymity.finding import Certainty

CERTAIN, LIKELY, POSSIBLE = Certainty.CERTAIN, Certainty.LIKELY, Certainty.POSSIBLE


@dataclass(frozen=True)
class Match:
    """A span of a piece of text that tells who the authors are."""

    kind: str
    start: int
    end: int
    certainty: Certainty
    instead: str = "anonymous"


def strongest(matches: list[Match]) -> list[Match]:
    """Without those that lie inside a match that is as certain: 'Doe' inside 'Jane Doe'.

    Cost: n log n, as a hostile text may match everywhere.
    """
    kept: list[Match] = []
    for level in sorted(Certainty, reverse=True):
        surer = sorted(kept, key=lambda m: m.start)
        starts = [each.start for each in surer]
        reach = list(accumulate((each.end for each in surer), max))
        end = -1
        for each in sorted((m for m in matches if m.certainty is level), key=lambda m: (m.start, -m.end)):
            i = bisect_right(starts, each.start)
            if each.end > end and not (i and reach[i - 1] >= each.end):
                kept.append(each)
            end = max(end, each.end)
    return sorted(kept, key=lambda m: m.start)
