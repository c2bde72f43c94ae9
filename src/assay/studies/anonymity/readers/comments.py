"""Which parts of a source are comments, and the source with only them or without them: lines and places stay.

Cost: linear, also where a hostile text opens comments that it never closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Syntax:
    """How a language writes comments: to the end of the line, and between two marks."""

    line: re.Pattern[str]
    blocks: tuple[tuple[str, str], ...]


CODE = Syntax(
    re.compile(r"(?:(?<=\s)|^)(?:#|//|--|;)[^\n]*", re.M),
    (("/*", "*/"), ("<!--", "-->"), ('"""', '"""'), ("'''", "'''")),
)
LATEX = Syntax(
    re.compile(r"(?<!\\)%[^\n]*"), (("\\begin{comment}", "\\end{comment}"), ("\\iffalse", "\\fi"), ("\\if0", "\\fi"))
)


def comments(text: str, syntax: Syntax) -> list[Span]:
    """The spans of the comments, in order and without overlaps."""
    merged: list[Span] = []
    for start, end in sorted([match.span() for match in syntax.line.finditer(text)] + list(_blocks(text, syntax))):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _blocks(text: str, syntax: Syntax) -> Iterator[Span]:
    for opening, closing in syntax.blocks:
        at = text.find(opening)
        while at >= 0 and (end := text.find(closing, at + len(opening))) >= 0:
            yield at, end + len(closing)
            at = text.find(opening, end + len(closing))


def only(text: str, spans: Sequence[Span]) -> str:
    """The text with everything else blanked; empty when there is nothing."""
    if not spans:
        return ""
    pieces, done = [], 0
    for start, end in spans:
        pieces += [_blank(text[done:start]), text[start:end]]
        done = end
    return "".join(pieces)


def without(text: str, spans: Sequence[Span]) -> str:
    """The text with these parts blanked."""
    pieces, done = [], 0
    for start, end in spans:
        pieces += [text[done:start], _blank(text[start:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
