"""Code that a model runs and that no version number stands for: classes of one's own, functions put into a model.

A fingerprint has a class's name and weights. That is enough for a class of transformers, whose version is in the key. Of
a class from a notebook or a repository the compiled code is hashed as it is in memory: its methods, and the functions,
classes and plain values of the same package that they name. Comments and the place in a file make no difference; what is
reached as an attribute of another module is not seen.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from assay.core.codec import digest

VERSIONED = ("torch.", "transformers.", "accelerate.", "builtins.")
"""Packages whose versions are in the key, or that only move tensors. Their hooks are part of a model."""

_HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


def own_code(native: nn.Module) -> dict[str, str]:
    """The hash of the code of every class of the model that is of no versioned package, and Python's version, which has
    its own bytecode; empty for a model of transformers."""
    classes = {cls for module in native.modules() for cls in type(module).__mro__ if not _versioned(cls.__module__)}
    found = {f"{cls.__module__}.{cls.__qualname__}": digest(_Reader(cls.__module__).of(cls)) for cls in classes}
    return {**found, "python": ".".join(map(str, sys.version_info[:2]))} if found else {}


def put_in(native: nn.Module) -> str | None:
    """Which function was put into a model, as a hook or in place of a forward; None if none was."""
    for function in _functions(native):
        origin = getattr(function, "__module__", None) or type(function).__module__
        if not _versioned(origin) or origin == "builtins":
            return f"{origin}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    return None


def _functions(native: nn.Module) -> Iterator[Callable[..., Any]]:
    for kind in _HOOKS:
        yield from getattr(nn.modules.module, f"_global_{kind}").values()
    for module in native.modules():
        for kind in _HOOKS:
            yield from getattr(module, f"_{kind}").values()
        if "forward" in module.__dict__:
            yield module.__dict__["forward"]
        if _versioned(type(module).__module__):
            yield type(module).forward


def _versioned(module: str) -> bool:
    return f"{module}.".startswith(VERSIONED)


class _Reader:
    """Code of one package as JSON data; each function and class once."""

    def __init__(self, module: str) -> None:
        self.package = module.partition(".")[0]
        self.seen: set[int] = set()

    def of(self, value: object) -> Any:
        """A class, a function, or plain data; for anything else, its type."""
        if isinstance(value, None | bool | int | float | complex | str | bytes):
            return repr(value)
        if isinstance(value, tuple | list):
            return [self.of(item) for item in value]
        if isinstance(value, set | frozenset):
            return sorted(str(self.of(item)) for item in value)
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, property | staticmethod | classmethod):
            parts = (value.fget, value.fset) if isinstance(value, property) else (value.__func__,)
            return [self.of(part) for part in parts]
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else value
        if not isinstance(function, FunctionType | type) or not self._is_ours(function):
            return f"<{type(value).__qualname__} {getattr(value, '__qualname__', '')}>"
        if id(function) in self.seen:
            return f"<{function.__qualname__} again>"
        self.seen.add(id(function))
        return self._function(function) if isinstance(function, FunctionType) else self._class(function)

    def _is_ours(self, value: FunctionType | type) -> bool:
        return value.__module__.partition(".")[0] == self.package

    def _class(self, cls: type) -> Any:
        ignored = ("__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__", "__static_attributes__")
        return {name: self.of(value) for name, value in sorted(vars(cls).items()) if name not in ignored}

    def _function(self, function: FunctionType) -> Any:
        named = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
        return {
            "code": self._code(function.__code__),
            "defaults": self.of((function.__defaults__ or (), *(function.__kwdefaults__ or {}).items())),
            "closure": [self.of(_held(cell)) for cell in function.__closure__ or ()],
            "names": {name: self.of(value) for name, value in sorted(named.items())},
        }

    def _code(self, code: CodeType) -> Any:
        return [code.co_code.hex(), self.of(code.co_consts), list(code.co_names), list(code.co_varnames)]


def _names(code: CodeType) -> set[str]:
    """Global names that code mentions, functions inside it included."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*(_names(each) for each in inner))


def _held(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
