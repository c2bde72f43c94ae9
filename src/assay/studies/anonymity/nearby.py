"""Patterns that are only tried near a word that they can't do without, so that a check reads megabytes in a second.

`before` must reach from that word back to the farthest beginning of a match, `after` to its farthest end; a match that would
be longer is cut there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Near:
    """A pattern and the words, in lower case, of which each match holds one."""

    pattern: re.Pattern[str]
    words: tuple[str, ...]
    before: int
    after: int

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches, as `re.Pattern.finditer` gives them."""
        for start, end in _spans(text, self):
            yield from self.pattern.finditer(text, start, end)


def near(pattern: str, words: str, *, before: int, after: int, flags: int = 0) -> Near:
    """Compile a pattern that is tried near any of the words, which are written with | between them."""
    return Near(re.compile(pattern, flags), tuple(words.split("|")), before, after)


def _spans(text: str, near: Near) -> Iterator[tuple[int, int]]:
    """Where to look, in order, without overlaps."""
    low = _lower(text)
    places: list[int] = []
    for word in near.words:
        at = low.find(word)
        while at >= 0:
            places.append(at)
            at = low.find(word, at + len(word))
    start = end = -1
    for at in sorted(places):
        if start < 0 or at - near.before > end:
            if start >= 0:
                yield start, end
            start = max(0, at - near.before)
        end = min(len(text), at + near.after)
    if start >= 0:
        yield start, end


@lru_cache(maxsize=4)
def _lower(text: str) -> str:
    """In lower case, letter for letter: the one capital that has two small letters stays."""
    return text.replace("İ", "I").lower() if "İ" in text else text.lower()
