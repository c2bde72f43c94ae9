"""What trying a model has shown, remembered until somebody puts a function into it or takes one out.

A model is tried once, with a few tokens, before an optimisation is used on it. A hook that is registered later, or a forward
that is replaced, may do what was not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import nn

from assay.core.errors import AssayError
from assay.models.network import Network

Found = TypeVar("Found")
OURS = "assay."

FAILURES = (
    RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError, AssertionError, AssayError,
)  # fmt: skip
"""What native code raises that is given other inputs, or other logits, than it expects."""


class Tried(Generic[Found]):
    """Findings by model and by question."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, tuple[list[Any], dict[Hashable, Found]]] = WeakKeyDictionary()

    def of(self, network: Network, find: Callable[[], Found], *, about: Hashable = None) -> Found:
        """What is known about a question; found out now if nothing is, or if other functions are in the model by now.

        Cost, when it is known: a look at every module.
        """
        now = list(_put_in(network))
        before, known = self._known.get(network.native, (now, dict[Hashable, Found]()))
        if before != now:
            known = {}
        found: Found = known[about] if about in known else find()
        known[about] = found
        self._known[network.native] = now, known
        return found


def _put_in(network: Network) -> Iterator[tuple[str, str, Any]]:
    """Functions that others than assay have put into the modules: hooks by number, forwards by reference."""
    for path, module in network.modules.items():
        if not (module._forward_pre_hooks or module._forward_hooks or "forward" in module.__dict__):
            continue
        hooks: Mapping[str, Mapping[int, Any]] = {"before": module._forward_pre_hooks, "after": module._forward_hooks}
        for kind, there in hooks.items():
            for number, function in there.items():
                if not _is_ours(function):
                    yield path, kind, number
        own = module.__dict__.get("forward")
        if own is not None and not _is_ours(own):
            yield path, "forward", _reference(own)


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith(OURS)


def _reference(function: Any) -> ReferenceType[Any] | int:
    try:
        return ref(function)  # its number may be another function's, when it is gone
    except TypeError:
        return id(function)
