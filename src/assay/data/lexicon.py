"""Word lists and tables, split once and for all: a word is in the same split whatever the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from assay.core.errors import DataError, nearest

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
PATTERN: tuple[Split, ...] = ("train", "validation", "train", "test")
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Lexicon(Generic[Entry]):
    """Named entries: half for training, a quarter each for validation and test. Append only: the order decides."""

    name: str
    entries: tuple[Entry, ...]

    def part(self, split: Split) -> tuple[Entry, ...]:
        """The entries of one split."""
        return tuple(entry for i, entry in enumerate(self.entries) if PATTERN[i % len(PATTERN)] == split)


def words(name: str, text: str) -> Lexicon[str]:
    """A lexicon from words written with spaces between them (an underscore stands for a space in a word)."""
    return Lexicon(name, tuple(word.replace("_", " ") for word in text.split()))


def table(name: str, text: str) -> Lexicon[tuple[str, ...]]:
    """A lexicon of rows, one for each line, cells separated by ` | `."""
    lines = (line.strip() for line in text.strip().splitlines())
    return Lexicon(name, tuple(tuple(cell.strip() for cell in line.split("|")) for line in lines if line))


def known_split(split: str) -> Split:
    """The split, or an error that lists them."""
    for known in SPLITS:
        if split == known:
            return known
    raise DataError(f"No split '{split}'.{nearest(split, SPLITS)} Splits: {', '.join(SPLITS)}.")
