"""What readers of formats hand over: pieces of text with their place and role, files inside files, and what can't be read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath


class Role(StrEnum):
    """What a piece of text is for: the same word weighs differently in prose, in a comment and in an author's field."""

    PROSE = "prose"
    CODE = "code"
    COMMENT = "comment"
    PAGE = "page"
    """Text of a page that was set: letters may be spaced, words broken."""
    DATA = "data"
    PERSON = "person"
    """A field that names who made it."""
    GIT = "git"
    """Who made a commit, a tag or an entry of a log."""
    PATH = "path"
    OWN_LINK = "own link"
    """A field that says where this work lives."""
    HIDDEN = "hidden"
    BINARY = "binary"
    """Readable letters in a file of unknown format."""
    BIBLIOGRAPHY = "bibliography"


@dataclass(frozen=True)
class Piece:
    """Some text of a file."""

    text: str
    role: Role
    place: str = ""
    lines: bool = False
    """Whether line numbers help to find it."""
    first: int = 1

    def where(self, at: int) -> str:
        """The place of a letter: 'cell 3, line 2'."""
        if not self.lines:
            return self.place
        line = f"line {bisect_right(self._breaks, at - 1) + self.first}"
        return f"{self.place}, {line}" if self.place else line

    @cached_property
    def _breaks(self) -> list[int]:
        found, at = [], self.text.find("\n")
        while at >= 0:
            found.append(at)
            at = self.text.find("\n", at + 1)
        return found


@dataclass(frozen=True)
class Inner:
    """A file inside a file."""

    name: str
    data: bytes
    sha: str = ""
    """Git's name of the content, where it comes from a history."""


@dataclass(frozen=True)
class Unread:
    """Something that could not be looked at, and why, in one line."""

    why: str
    place: str = ""


@dataclass(frozen=True)
class Found:
    """A finding that the reader itself makes, as only the format tells it."""

    kind: str
    text: str
    place: str
    certain: int


Item = Piece | Inner | Unread | Found
Reader = Callable[[bytes, PurePosixPath, "Limits"], Iterator[Item]]


@dataclass
class Limits:
    """What is left of the amounts that a check looks at: hostile archives end here, not in a full memory."""

    bytes: int = 1 << 30
    """Bytes that may still be unpacked, all files together."""
    files: int = 100_000
    """Files that may still be looked at, those in archives included."""
    each: int = 64 << 20
    """Bytes of one file; of a longer one the beginning and the end are looked at."""
    depth: int = 6
    """Archives inside archives."""

    def take(self, size: int) -> bool:
        """Count one more unpacked file; False when it is too much."""
        if size > self.bytes or self.files <= 0:
            return False
        self.bytes -= size
        self.files -= 1
        return True
