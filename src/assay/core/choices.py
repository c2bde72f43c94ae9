"""What a method can be called with, read off its annotations: its kind of model and data, and settings that are words.

Settings from a study or a command are validated by the registry. A method that is called in Python gets them as they are: a
misspelt word would be taken for the other one, and a text for a list of its letters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from assay.core.errors import SettingsError, nearest


@dataclass(frozen=True)
class Expected:
    """What a method takes."""

    name: str
    model: Any
    data: Any
    """The types of its first two parameters."""
    words: Mapping[str, tuple[Any, ...]]
    """By parameter, the words that it takes; each of several where it takes a tuple of them."""
    several: frozenset[str]
    """Parameters that take several texts."""
    earlier: Mapping[str, type]
    """Parameters that take an earlier result, and its class."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Expected:
        """From a method's signature."""
        hints = get_type_hints(function, include_extras=True)
        order = [*signature(function).parameters, "", ""]
        words = {name: found for name, hint in hints.items() if (found := _words(hint))}
        several = frozenset(name for name, hint in hints.items() if _bare(hint) == tuple[str, ...])
        earlier = {
            name: bare for name, hint in hints.items() if getattr(bare := _bare(hint), "handed_on", False) is True
        }
        return cls(function.__name__, hints.get(order[0]), hints.get(order[1]), words, several, earlier)

    def refuse(self, model: Any, data: Any, named: Mapping[str, Any]) -> None:
        """Raise SettingsError for what the method would take amiss; and let data say that it is not for this model."""
        chosen = [(name, self.earlier[name], named[name]) for name in self.earlier if named.get(name) is not None]
        for what, hint, given in (("model", self.model, model), ("data", self.data, data), *chosen):
            if _plain_class(hint) and not isinstance(given, hint):
                raise SettingsError(
                    f"{self.name} takes {_article(hint.__name__)} as {what}, and got {_article(type(given).__name__)}."
                )
        refuse_model = getattr(data, "refuse_model", None)
        if callable(refuse_model):
            refuse_model(model)
        for name in self.several & set(named):
            if isinstance(named[name], str):
                raise SettingsError(f"{name} is one text, {named[name]!r}: expected several, ({named[name]!r},).")
        for name in set(self.words) & set(named):
            self._refuse_word(name, named[name])

    def _refuse_word(self, name: str, value: Any) -> None:
        words = self.words[name]
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None and not any(type(each) is type(word) and each == word for word in words):
                near = nearest(str(each), [str(word) for word in words])
                raise SettingsError(f"{each!r} is no {name}: expected {', '.join(map(str, words))}.{near}")


def _plain_class(hint: Any) -> bool:
    return isinstance(hint, type) and hint is not Any and not getattr(hint, "_is_protocol", False)


def _bare(hint: Any) -> Any:
    """A type without what is annotated to it, and without None beside it."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        some = [each for each in get_args(hint) if each is not NoneType]
        return _bare(some[0]) if len(some) == 1 else hint
    return hint


def _words(hint: Any) -> tuple[Any, ...]:
    """The words of a `Literal`, or those of the elements of a tuple."""
    bare = _bare(hint)
    origin, inside = get_origin(bare), get_args(bare)
    if origin is Literal:
        return inside
    return _words(inside[0]) if origin is tuple and len(inside) == 2 and inside[1] is Ellipsis else ()


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"
