"""Inputs of a model that hold tensors inside others: keys and values of another model by kind, say. As data they lie flat.

A name says where a tensor lies: `shared_kv_states.full_attention.0` is the first of a pair under a key of a dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def flat(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Everything inside dicts and tuples by where it lies; a list is left as it is, since it stands for a tensor.

    >>> flat({"ids": [1, 2], "states": {"full": (3, 4)}})
    {'ids': [1, 2], 'states.full.0': 3, 'states.full.1': 4}
    """
    return dict(_leaves(inputs))


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` was given: numbered entries are a tuple again.

    >>> nested({"ids": 1, "states.full.0": 3, "states.full.1": 4})
    {'ids': 1, 'states': {'full': (3, 4)}}
    """
    found: dict[str, Any] = {}
    for name, value in leaves.items():
        *parents, last = name.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return {name: _tuples(value) for name, value in found.items()}


def _leaves(value: Mapping[str, Any] | Sequence[Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(each, Mapping | tuple):
            yield from _leaves(each, f"{before}{name}.")
        else:
            yield f"{before}{name}", each


def _tuples(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _tuples(each) for name, each in value.items()}
    numbered = list(inner) == [str(number) for number in range(len(inner))]
    return tuple(inner.values()) if numbered else inner
