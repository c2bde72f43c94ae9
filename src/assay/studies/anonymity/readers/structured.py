"""JSON: the text as it stands, and keys that name a user, a host or an author."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from assay.studies.anonymity.fields import json_field
from assay.studies.anonymity.piece import Found, Item, Piece, Role
from assay.studies.anonymity.readers.markup import data_uris

FEW = 5
"""A key with more different values than this holds data (users of a data set), not who made the file."""
DEEP = 60
MANY = 200_000


def read_json(text: str, *, manifest: bool = False) -> Iterator[Item]:
    """A JSON file."""
    yield Piece(text, Role.CODE if manifest else Role.DATA, lines=True)
    yield from data_uris(text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return  # lines of JSON, or JSON with comments: read as text above
    yield from json_fields(content)


def json_fields(content: Any, place: str = "") -> Iterator[Found]:
    """Keys that name who made a file or where."""
    found = [(kind, value, at, key) for key, value, at in leaves(content, place) if (kind := json_field(key, value))]
    different = Counter(key for key, _ in {(key, value) for _, value, _, key in found})
    for kind, value, at, key in found:
        if different[key] <= FEW:
            yield Found(kind, value, at, 2)


_PEOPLE = re.compile(r"(?:authors?|creators?|contributors?|maintainers?|editors?)$", re.I)
_GIVEN, _FAMILY = (
    ("givenName", "given", "given-names", "first_name"),
    ("familyName", "family", "family-names", "last_name"),
)


def _whole_name(fields: dict[str, Any]) -> str:
    """Given and family name together, where a person is written in parts."""
    given, family = (next((str(fields[k]) for k in keys if fields.get(k)), "") for keys in (_GIVEN, _FAMILY))
    return f"{given} {family}" if given and family else ""


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Each string with its key and path, without recursion; a list's strings have the list's key."""
    todo: list[tuple[str, Any, str, int]] = [("", content, place, 0)]
    for _ in range(MANY):
        if not todo:
            return
        key, value, at, depth = todo.pop()
        if isinstance(value, str):
            yield key, value, at or "its root"
        elif depth > DEEP:
            continue
        elif isinstance(value, dict):
            if (whole := _whole_name(value)) and _PEOPLE.match(key):
                yield key, whole, at
            for name, each in value.items():
                # {"authors": [{"name": "Jane Doe"}]}
                inner = (
                    key
                    if name.lower() in ("name", "full_name")
                    and key.lower() in ("authors", "author", "creators", "contributors", "maintainers")
                    else name
                )
                todo.append((inner, each, f"{at}.{name}" if at else name, depth + 1))
        elif isinstance(value, list):
            todo += [(key, each, f"{at}[{i}]", depth + 1) for i, each in enumerate(value)]
