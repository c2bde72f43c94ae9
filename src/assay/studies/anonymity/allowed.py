"""The allow-list: what the authors have looked over and know to be fine.

# one on each line
https://github.com/someone/tool     a text: findings that lie in it or hold it
*.example-lab.org                   with * for any letters
file: vendor/*                      everything in these files
kind: copyright                     all findings of a kind
LICENSE :: copyright                a kind, in these files
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from assay.core.errors import InputError, nearest
from assay.studies.anonymity.finding import ADVICE


@dataclass(frozen=True)
class Allowed:
    """Known-good texts, and pairs of a file pattern and a kind."""

    texts: tuple[str, ...] = ()
    places: tuple[tuple[str, str], ...] = ()

    def lets(self, file: str, kind: str, context: str) -> bool:
        """Whether a finding passes; `context` is the word or link that it stands in."""
        if any(fnmatchcase(file, pattern) and wanted in ("*", kind) for pattern, wanted in self.places):
            return True
        return any(fnmatchcase(context.lower(), f"*{text.lower()}*") for text in self.texts)


def read_allowed(path: Path) -> Allowed:
    """An allow-list from a file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Cannot read the allow-list {path}: {error}. Write what is known to be fine, one on each line."
        ) from None
    return parse_allowed(text.splitlines())


def parse_allowed(lines: Iterable[str]) -> Allowed:
    """An allow-list from lines."""
    texts: list[str] = []
    places: list[tuple[str, str]] = []
    for line in (each.strip() for each in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("file:"):
            places.append((line[5:].strip(), "*"))
        elif line.startswith("kind:"):
            places.append(("*", _kind(line[5:].strip())))
        elif " :: " in line:
            file, _, kind = line.partition(" :: ")
            places.append((file.strip(), _kind(kind.strip())))
        elif len(line.strip("*")) < 3:
            raise InputError(
                f"The allow-list's line '{line}' would let almost everything pass: write three letters or more."
            )
        else:
            texts.append(re.sub(r"[\[\]?]", lambda m: f"[{m[0]}]", re.sub(r"^https?://(?:www\.)?", "", line)))
    return Allowed(tuple(texts), tuple(places))


def _kind(kind: str) -> str:
    if kind not in ADVICE:
        raise InputError(f"The allow-list names no kind of finding with '{kind}'.{nearest(kind, ADVICE)}")
    return kind
