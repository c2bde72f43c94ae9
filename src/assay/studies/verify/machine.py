"""Whether two environments can be expected to give the same bits, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KIND = ("system", "machine", "vectors", "accelerator", "threads")
_NAMES = {"system": "system", "machine": "processor", "vectors": "vector instructions", "accelerator": "accelerator"}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Versions and kinds of machine that are not the same; none: the same bits are expected."""
    old, new = before.get("versions", {}), after.get("versions", {})
    found = [f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}" for name in sorted({*old, *new})
             if old.get(name) != new.get(name)]  # fmt: skip
    for key in _KIND:
        if before.get(key) != after.get(key):
            found.append(f"{_NAMES.get(key, key)} {before.get(key) or 'none'} → {after.get(key) or 'none'}")
    return tuple(found)
