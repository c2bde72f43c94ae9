"""Take out of files what tells who the authors are, and prove with the check that nothing is left.

Texts, JSON, JSON lines, notebooks, SVG, HTML, PNG and JPEG are changed, and so are paths; a file in which nothing is found
keeps every byte. What can't be changed without knowing its format better (a PDF, an archive, a table) is left as it is, and if
something is found in it the proof fails and says where.

Cost: two checks, and one search more for each text that is changed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from assay.core.errors import StudyError
from assay.studies.anonymity.allowed import Allowed
from assay.studies.anonymity.bare_pictures import bare_jpeg, bare_png
from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.fields import json_field
from assay.studies.anonymity.finding import Report
from assay.studies.anonymity.match import strongest
from assay.studies.anonymity.names import Names
from assay.studies.anonymity.piece import Piece, Role
from assay.studies.anonymity.readers.comments import CODE, LATEX, comments, only
from assay.studies.anonymity.readers.markup import bare_markup, from_base64
from assay.studies.anonymity.readers.text import decoded, role_of
from assay.studies.anonymity.search import search

_PASSES = 3
"""A replacement may bring words together that are found then."""
_KEPT_METADATA = ("kernelspec", "language_info")
_URI = re.compile(r"(data:image/(?:png|jpe?g);base64,)([A-Za-z0-9+/=]{16,})")


@dataclass(frozen=True)
class Stripped:
    """Files without what identified their authors."""

    files: dict[str, bytes]
    changed: tuple[str, ...]
    """New paths of the files whose content is another now."""
    renamed: dict[str, str]
    """Old paths and new ones, of the files that have another path now."""
    proof: Report
    """The check of the new files: clean."""


def strip(files: Mapping[str, bytes], names: Names, *, allowed: Allowed | None = None) -> Stripped:
    """The files, anonymous; a StudyError that says what is left and where when that is not possible."""
    paths = _new_paths(files, names)
    renamed = {old: new for old, new in paths.items() if old != new}
    made: dict[str, bytes] = {}
    for old, data in files.items():
        clean = check_files({"file" + PurePosixPath(old).suffix: data}, names, allowed=allowed).clean
        made[paths[old]] = _relinked(data if clean else _stripped(data, old, names), renamed)
    proof = check_files(made, names, allowed=allowed)
    if not proof.clean:
        first = proof.findings[0]
        more = f", and {len(proof.findings) - 1} more" if len(proof.findings) > 1 else ""
        raise StudyError(
            f"{first.file} still tells who the authors are ({first.kind} '{first.text}', {first.place}{more}): "
            f"leave it out, or mend it by hand. {first.advice}"
        )
    changed = tuple(paths[old] for old, data in files.items() if made[paths[old]] != data)
    return Stripped(made, changed, renamed, proof)


def _new_paths(files: Mapping[str, bytes], names: Names) -> dict[str, str]:
    """For each path one without names, all different."""
    found: dict[str, str] = {}
    for old in files:
        new = path = strip_text(old, names, role=Role.PATH)
        for number in range(2, len(files) + 2):
            if new not in found.values():
                break
            new = str(PurePosixPath(path).with_stem(f"{PurePosixPath(path).stem}-{number}"))
        found[old] = new
    return found


def _relinked(data: bytes, renamed: Mapping[str, str]) -> bytes:
    """The content with paths that are others now."""
    for old, new in renamed.items():
        data = data.replace(old.encode(), new.encode())
    return data


def _stripped(data: bytes, name: str, names: Names) -> bytes:
    end = PurePosixPath(name).suffix.lower()
    if data.startswith(b"\x89PNG"):
        return bare_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return bare_jpeg(data)
    if (text := decoded(data)) is None:
        return data
    if end == ".ipynb":
        return _json(text, names, notebook=True).encode()
    if end == ".json":
        return _json(text, names).encode()
    if end in (".jsonl", ".ndjson"):
        return "".join(_json(line, names) for line in text.splitlines(keepends=True)).encode()
    if end in (".svg", ".html", ".htm", ".xml"):
        text = _URI.sub(lambda match: match[1] + _picture(match[2]), bare_markup(text))
    return strip_text(text, names, role=role_of(end.lstrip(".")), accents=end in (".tex", ".bib")).encode()


def strip_text(text: str, names: Names, *, role: Role = Role.PROSE, accents: bool = False) -> str:
    """A text with neutral words in place of what identifies: `/home/anonymous`, `anonymous@example.org`.

    In LaTeX, accents are written with quotes behind a backslash: `accents` says that it is LaTeX.
    """
    for _ in range(_PASSES):
        matches, _ = search(Piece(text, role), names, accents=accents)
        if role is Role.CODE:
            signed = only(text, comments(text, LATEX if accents else CODE))
            matches = strongest([*matches, *search(Piece(signed, Role.COMMENT), names, accents=accents)[0]])
        if not matches:
            break
        pieces, done = [], 0
        for match in matches:
            if match.start >= done:
                pieces += [text[done : match.start], match.instead]
                done = match.end
        text = "".join([*pieces, text[done:]])
    return text


def _json(text: str, names: Names, *, notebook: bool = False) -> str:
    """JSON with its strings stripped, in the layout that it had; what is no JSON as text."""
    try:
        content = json.loads(text)
        changed = _value("", _bare_notebook(content) if notebook else content, names)
    except (ValueError, RecursionError):
        return strip_text(text, names, role=Role.CODE)
    indent = re.match(r"[\[{]\n( +)", text)
    plain = json.dumps(changed, ensure_ascii=False, indent=len(indent[1]) if indent else None)
    return plain + ("\n" if text.endswith("\n") else "")


def _value(key: str, value: Any, names: Names) -> Any:
    if isinstance(value, dict):
        return {strip_text(name, names, role=Role.DATA): _value(name, each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(key, each, names) for each in value]
    if not isinstance(value, str):
        return value
    if key in ("image/png", "image/jpeg"):
        return _picture(value)
    if key == "image/svg+xml":
        value = bare_markup(value)
    return "anonymous" if json_field(key, value) else strip_text(value, names, role=Role.CODE)


def _picture(text: str) -> str:
    data = from_base64(text) or b""
    bare = (
        bare_png(data) if data.startswith(b"\x89PNG") else bare_jpeg(data) if data.startswith(b"\xff\xd8\xff") else data
    )
    return base64.b64encode(bare).decode() if bare != data else text


def _bare_notebook(content: Any) -> Any:
    """A notebook with the metadata that it needs to be run, and no other."""
    if not isinstance(content, dict):
        return content
    metadata = content.get("metadata")
    kept = {key: metadata[key] for key in _KEPT_METADATA if key in metadata} if isinstance(metadata, dict) else {}
    cells = content.get("cells")
    bare = (
        [each | {"metadata": {}} if isinstance(each, dict) else each for each in cells]
        if isinstance(cells, list)
        else cells
    )
    return content | {"metadata": kept, "cells": bare}
