"""Canonical JSON, and hashes of it: the same content has the same text, whatever order it was written in.

Keys are sorted, there is no whitespace, text is ASCII with escapes, and floats are written so that they read back
exactly. What has no JSON form is refused with the place where it stands, never written as something near it.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from assay.core.errors import StorageError


def canonical(value: object) -> str:
    """The one JSON text of `value`, made of dicts with string keys, lists, strings, numbers, booleans and None.

    >>> canonical({"b": 1, "a": [0.1, None]})
    '{"a":[0.1,null],"b":1}'
    """
    _refuse_without_json_form(value, "")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty(value: object) -> str:
    """The same content for a file that people read: sorted, indented, non-ASCII letters kept."""
    _refuse_without_json_form(value, "")
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=_has_lone_surrogate(value)) + "\n"


def parse(text: str | bytes, *, what: str = "JSON") -> Any:
    """Read JSON; NaN, infinities and a key given twice are refused, as `canonical` could not have written them."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{what} is not valid JSON: {error}. Check the file, or write it again.") from error


def digest(value: object) -> str:
    """`"sha256:..."` of the canonical JSON of `value`."""
    return digest_bytes(canonical(value).encode("ascii"))


def digest_bytes(*parts: bytes | memoryview) -> str:
    """`"sha256:..."` of the bytes of all parts in order."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return f"sha256:{state.hexdigest()}"


def _refuse_without_json_form(value: object, place: str) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if not math.isfinite(value):
                raise StorageError(f"{value} at {place or 'the top'} has no JSON form: expected a finite number.")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise StorageError(f"the key {key!r} at {place or 'the top'} is not a string, as JSON keys are.")
                _refuse_without_json_form(item, f"{place}.{key}" if place else key)
        case list() | tuple():
            for index, item in enumerate(value):
                _refuse_without_json_form(item, f"{place}[{index}]")
        case _:
            raise StorageError(
                f"{type(value).__name__} at {place or 'the top'} has no JSON form: expected dicts, lists, strings, "
                "numbers, booleans or None. Tensors go in as an Attachment."
            )


def _has_lone_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON has")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return result
