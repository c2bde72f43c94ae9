"""Code that a model runs and that no version number stands for: classes of one's own, functions put into a model.

A fingerprint has a class's name and weights. That is enough for a class of transformers, whose version is in the key; for
a class from a notebook or a repository, the source file is hashed as well. Code that its files import is not.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

VERSIONED = ("torch.", "transformers.", "accelerate.")
"""Packages whose versions are in the key, or that only move tensors. Their hooks are part of a model."""

_HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


def sources(native: nn.Module) -> dict[str, str | None]:
    """The hash of the source of every class that is of no versioned package; None where there is no source."""
    classes = {cls for module in native.modules() for cls in type(module).__mro__ if cls is not object}
    return {f"{cls.__module__}.{cls.__qualname__}": _source(cls) for cls in classes if not _versioned(cls.__module__)}


def put_in(native: nn.Module) -> str | None:
    """Which function was put into a model, as a hook or in place of a forward; None if none was."""
    for function in _functions(native):
        origin = getattr(function, "__module__", None) or type(function).__module__
        if not _versioned(origin):
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


def _source(cls: type) -> str | None:
    """Of the file that defines it; of the class alone where that is no file, as in a notebook."""
    try:
        text = inspect.getsource(inspect.getmodule(cls) or cls)
    except (OSError, TypeError):
        try:
            text = inspect.getsource(cls)
        except (OSError, TypeError):
            return None
    return hashlib.sha256(text.encode()).hexdigest()
