"""Settings that are one of a few words: what they may be, read off a function's annotations, and what is refused.

A method that is called in Python gets its settings as they are; a misspelt word would otherwise be taken for the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from assay.core.errors import SettingsError, nearest

Choices = Mapping[str, tuple[Any, ...]]
"""By parameter, the words that it takes; each of several where it takes a tuple of them."""


def choices(hints: Mapping[str, Any]) -> Choices:
    """The parameters whose type is nothing but a few words, or None."""
    found = {name: _words(hint) for name, hint in hints.items()}
    return {name: words for name, words in found.items() if words}


def refuse_others(known: Choices, given: Mapping[str, Any]) -> None:
    """Raise SettingsError for a word that a parameter does not take."""
    for name, words in known.items():
        value = given.get(name, words[0])
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None and not any(each is word or each == word for word in words):
                listed = ", ".join(map(str, words))
                near = nearest(str(each), [str(word) for word in words])
                raise SettingsError(f"{each!r} is no {name}: expected {listed}.{near}")


def _words(hint: Any) -> tuple[Any, ...]:
    """The words of a `Literal`, also within `Annotated`, beside None, or as the elements of a tuple."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _words(inside[0])
    if origin is Literal:
        return inside
    if origin in (Union, UnionType):
        some = [each for each in inside if each is not NoneType]
        return _words(some[0]) if len(some) == 1 else ()
    return _words(inside[0]) if origin is tuple and len(inside) == 2 and inside[1] is Ellipsis else ()
