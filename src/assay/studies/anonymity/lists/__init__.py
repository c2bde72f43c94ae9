"""Lists of words: common English words, frequent surnames, user names of nobody, accounts of well-known projects."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def listed(name: str) -> frozenset[str]:
    """The words of a list, in lower case; the file is read once."""
    text = files("assay.studies.anonymity.lists").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(text.split())
