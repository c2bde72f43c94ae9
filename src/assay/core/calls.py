"""What a method was called with, kept with what it gave: so that its result can be compared with controls afterwards.

The model is held weakly, so that no result keeps weights in memory; data, settings and earlier results are held as they
are. Only the object that the method returned remembers: copies, files and other processes don't.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from importlib.metadata import entry_points
from inspect import signature
from time import perf_counter
from typing import Any, TypeVar, cast

from assay.core.choices import Expected
from assay.core.claims import Claimed
from assay.core.errors import SettingsError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_WHERE = "_call"
COMPARISON = "assay.comparison"
"""The entry-point group of what answers `result.against(...)`: the vocabulary does not know the statistics."""


@dataclass(frozen=True)
class Call:
    """One call of a method: enough to make it again with something changed."""

    name: str
    function: Callable[..., Any]
    data: Any
    given: Mapping[str, Any]
    """Settings and earlier results."""
    seconds: float
    held: Callable[[], Any] = field(repr=False)
    claim: Claimed | None = None
    """What the method says that its results claim."""

    @property
    def model(self) -> Any:
        """The model.

        Raises:
            SettingsError: it is no longer in memory.
        """
        found = self.held()
        if found is None and isinstance(self.held, weakref.ref):
            raise SettingsError(f"The model that {self.name} was called with is gone: keep it, or give it as model=.")
        return found

    def again(self, *, model: Any = None, data: Any = None, **changed: Any) -> Any:
        """What the method gives with another model, other data, or other settings and earlier results."""
        used = self.model if model is None else model
        return self.function(used, self.data if data is None else data, **{**self.given, **changed})

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copy, or what goes to another process, forgets


def remembering(function: F, *, claim: Claimed | None = None, expected: Expected | None = None) -> F:
    """The function, whose results remember their call; what is not `expected` is refused."""
    order = list(signature(function).parameters)

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if expected is not None and len(arguments) == 2:  # else Python says what is missing, or too much
            expected.refuse(*arguments, named)
        began = perf_counter()
        value = function(*arguments, **named)
        seconds = perf_counter() - began
        every = dict(zip(order, arguments, strict=False)) | named
        model, data = every.pop(order[0]), every.pop(order[1])
        _remember(value, Call(function.__name__, function, data, every, seconds, holding(model), claim))
        return value

    return cast(F, called)


def recall(value: Any) -> Call | None:
    """The call that gave this object, if it is known."""
    found = getattr(value, _WHERE, None)
    return found if isinstance(found, Call) else None


def as_given_by(value: T, call: Call) -> T:
    """A value that was read back, with the call that gave it when it was made."""
    _remember(value, call)
    return value


def pass_on(old: Any, new: T) -> T:
    """`new` is a part of `old`: it remembers the same call."""
    call = recall(old)
    if call is not None:
        _remember(new, call)
    return new


def against(value: Any, controls: tuple[str, ...], options: Mapping[str, Any]) -> Any:
    """Hand a result over to what compares it with controls.

    Raises:
        SettingsError: assay was installed by a version that did not know comparisons.
    """
    found = list(entry_points(group=COMPARISON))
    if not found:
        raise SettingsError(
            "Nothing compares results with controls: install assay again (pip install -e . in a checkout)."
        )
    return found[0].load()(value, *controls, **options)


def _remember(value: Any, call: Call) -> None:
    if hasattr(value, "__dict__") and not isinstance(value, type):
        object.__setattr__(value, _WHERE, call)  # results are frozen


def holding(model: Any) -> Callable[[], Any]:
    """The model for as long as somebody else keeps it."""
    try:
        return weakref.ref(model)
    except TypeError:  # a name, or None
        return lambda: model
