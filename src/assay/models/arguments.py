"""Which inputs a native model's forward reads, told from its code.

A forward that ends in **kwargs takes any name: most of what it does not name itself it hands to its parts, and a misspelt
name is lost on the way without a word. A name counts as read when the forward names it; and, where it has **kwargs, when
their type names it, when code that has them looks it up by that name, or when a part that they are handed to does one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from types import CodeType
from typing import Any, get_args

from torch import nn

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def own_arguments(native: nn.Module) -> tuple[str, ...]:
    """The names that the model's forward itself declares, in its order."""
    return tuple(p.name for p in _parameters(native) if p.kind in _NAMED)


def arguments_of(native: nn.Module) -> frozenset[str]:
    """All names that reach code which reads them."""
    found = set(own_arguments(native))
    for module in _handed_on(native):
        found.update(own_arguments(module))
        for parameter in _parameters(module):
            if parameter.kind is Parameter.VAR_KEYWORD:
                found.update(_typed(parameter.annotation))
                found.update(_looked_up(module.forward))
    return frozenset(found)


def _handed_on(native: nn.Module) -> Iterator[nn.Module]:
    """The model, and the parts to which **kwargs can come: through forwards that have them."""
    yield native
    waiting = [native]
    while waiting:
        module = waiting.pop()
        if not _takes_any(module) and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            continue
        for child in module.children():
            if isinstance(child, nn.ModuleList | nn.ModuleDict):
                waiting.append(child)
            elif not _given_by_place(child):
                waiting.append(child)
                yield child


def _given_by_place(part: nn.Module) -> bool:
    """torch's modules, and those of transformers that take one tensor (an activation, an MLP), are called with it alone."""
    home = type(part).__module__
    one = home.startswith("transformers.") and len(own_arguments(part)) == 1 and not _takes_any(part)
    return home.startswith("torch.") or one


def _takes_any(module: nn.Module) -> bool:
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in _parameters(module))


def _parameters(module: nn.Module) -> list[Parameter]:
    return list(signature(module.forward).parameters.values())


def _typed(annotation: Any) -> Iterator[str]:
    """The names in the type of **kwargs: `Unpack[…]` of a typed dict."""
    for each in get_args(annotation):
        yield from getattr(each, "__annotations__", {})


def _looked_up(function: Callable[..., Any]) -> Iterator[str]:
    """The texts in a function's code, and in what is wrapped around it: `kwargs["name"]`, `kwargs.pop("name", …)`."""
    each: Any = function
    while each is not None:
        code = getattr(each, "__code__", None)
        if isinstance(code, CodeType):
            yield from (text for text in code.co_consts if isinstance(text, str) and text.isidentifier())
        each = getattr(each, "__wrapped__", None)
