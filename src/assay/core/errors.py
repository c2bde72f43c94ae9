"""One hierarchy of errors. Each message says what was wrong, what was expected, and what to do about it.

A command or the server prints an `AssayError` as one line without a traceback; anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile


class AssayError(Exception):
    """Something that the user can mend."""


class LoadError(AssayError):
    """A model, tokenizer or file could not be loaded."""


class SiteError(AssayError):
    """A site name that is malformed, unknown, or absent in this model."""


class InputError(AssayError):
    """Prompts, token ids or positions that cannot be used as asked."""


class ExperimentError(AssayError):
    """An experiment that contradicts itself or does not fit the model."""


class ShapeError(ExperimentError):
    """A tensor whose shape does not fit the place it is meant for."""


class DataError(AssayError):
    """A data set or task that is malformed."""


class SettingsError(AssayError):
    """A method that does not exist, or settings that it does not take."""


class StudyError(AssayError):
    """A study file or a study run that cannot go on."""


class StorageError(AssayError):
    """A file that is damaged, unwritable, or of a newer version."""


class MissingExtraError(AssayError, ImportError):
    """An optional part that is not installed."""


class UnsafeError(AssayError):
    """Data that would have to run code to be used, refused."""


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """`" Nearest: a, b."`, or an empty string when nothing is close: for the end of an error message.

    Of names that are equally close, first those that begin like the one given, then in the order of `known`.
    """
    names = list(dict.fromkeys(known))
    close = set(get_close_matches(name, names, n=max(len(names), 1), cutoff=0.5))
    matches = sorted((each for each in names if each in close), key=lambda each: _distance(name, each))[:n]
    return f" Nearest: {', '.join(matches)}." if matches else ""


def _distance(name: str, known: str) -> tuple[float, int]:
    """Smaller is nearer: as `get_close_matches` measures it, then by the length of the common beginning."""
    same = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(known, name, strict=False)))
    return -SequenceMatcher(None, known, name).ratio(), -same
