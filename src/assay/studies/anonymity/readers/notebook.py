"""Notebooks: each cell with its outputs, pictures inside, and the metadata of cells and of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from assay.studies.anonymity.piece import Inner, Item, Piece, Role, Unread
from assay.studies.anonymity.readers.comments import CODE, comments, only
from assay.studies.anonymity.readers.markup import data_uris, from_base64
from assay.studies.anonymity.readers.structured import json_fields, read_json

_ENDS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "application/pdf": "pdf",
    "image/svg+xml": "svg",
    "text/html": "html",
}


def read_notebook(text: str) -> Iterator[Item]:
    """A notebook; one that is broken is read as plain text."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        yield Unread("is no notebook: its JSON is broken; read as plain text")
        yield Piece(text, Role.CODE, lines=True)
        return
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        yield from read_json(text)  # an old format, or something else
        return
    for number, cell in enumerate(content["cells"], 1):
        if isinstance(cell, dict):
            yield from _cell(cell, f"cell {number}")
    yield from _metadata(content.get("metadata"), "metadata of the notebook")


def _cell(cell: dict[str, Any], place: str) -> Iterator[Item]:
    source = _joined(cell.get("source"))
    yield Piece(source, Role.CODE if cell.get("cell_type") == "code" else Role.PROSE, place, lines=True)
    if cell.get("cell_type") == "code":
        yield Piece(only(source, comments(source, CODE)), Role.COMMENT, place, lines=True)
    yield from data_uris(source)
    for number, output in enumerate(_list(cell.get("outputs")), 1):
        if isinstance(output, dict):
            yield from _output(output, f"{place}, output {number}")
    yield from _metadata(cell.get("metadata"), f"{place}, metadata")
    for name, bundle in _dict(cell.get("attachments")).items():
        yield Piece(str(name), Role.PATH, f"{place}, attachment")
        yield from _bundle(bundle, f"{place}, attachment {name}")


def _output(output: dict[str, Any], place: str) -> Iterator[Item]:
    text = "\n".join(_joined(output.get(key)) for key in ("text", "ename", "evalue") if key in output)
    trace = "\n".join(map(str, _list(output.get("traceback"))))
    yield Piece("\n".join((text, trace)), Role.CODE, place)
    yield from _bundle(output.get("data"), place)
    yield from _metadata(output.get("metadata"), f"{place}, metadata")


def _bundle(bundle: Any, place: str) -> Iterator[Item]:
    for kind, content in _dict(bundle).items():
        end = _ENDS.get(kind)
        text = _joined(content) if isinstance(content, str | list) else json.dumps(content, ensure_ascii=False)
        if end in ("svg", "html"):
            yield Inner(f"{place}.{end}", text.encode())
        elif end and (data := from_base64(text)) is not None:
            yield Inner(f"{place}.{end}", data)
        else:
            yield Piece(text, Role.CODE, place)


def _metadata(content: Any, place: str) -> Iterator[Item]:
    if content:
        yield Piece(json.dumps(content, ensure_ascii=False), Role.DATA, place)
        yield from json_fields(content, place)


def _joined(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else source if isinstance(source, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
