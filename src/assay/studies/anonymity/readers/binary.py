"""Files of unknown format: runs of readable letters, as `strings` finds them, in ASCII, UTF-8, UTF-16 (both ways), UTF-32."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.piece import Item, Limits, Piece, Role

_NARROW = re.compile(rb"(?:[\x20-\x7e\t]|[\xc3-\xc5][\x80-\xbf]){6,}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){6,}")


_WIDE_TURNED = re.compile(rb"(?:\x00[\x20-\x7e]){6,}")
_WIDEST = re.compile(rb"(?:[\x20-\x7e]\x00\x00\x00){6,}")


def read_binary(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """Letters that stand together, each run on a line; what stands there by chance is left to the search to tell."""
    narrow = "\n".join(run.decode("utf-8", "replace") for run in _NARROW.findall(data))
    yield Piece(narrow, Role.BINARY, "among its bytes")
    if wide := "\n".join(run.decode("utf-16-le") for run in _WIDE.findall(data)):
        yield Piece(wide, Role.BINARY, "among its bytes (UTF-16)")
    if turned := "\n".join(run.decode("utf-16-be") for run in _WIDE_TURNED.findall(data)):
        yield Piece(turned, Role.BINARY, "among its bytes (UTF-16)")
    if widest := "\n".join(run.decode("utf-32-le") for run in _WIDEST.findall(data)):
        yield Piece(widest, Role.BINARY, "among its bytes (UTF-32)")
