"""What looking into a piece of text gives: spans with a kind, a certainty, and what could stand there instead."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Without those that lie inside a match that is as certain: 'Doe' inside 'Jane Doe'."""
    kept: list[Match] = []
    for each in sorted(matches, key=lambda m: (-m.certainty, m.start - m.end, m.start)):
        if not any(other.start <= each.start and each.end <= other.end for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda m: m.start)
