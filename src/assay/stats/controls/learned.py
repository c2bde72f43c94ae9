"""What a method was handed and that was itself learned from examples: a probe, a steering vector. Controls learn it again.

A direction that is read on other prompts was found by another call, on prompts of its own. Shuffled labels or untrained weights
are controls of the reading only if the direction is found again under them; words are a rival only if they learn from the same
prompts. Values know the call that gave them (`core.calls`), and that call knows what it was handed in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.core.calls import Call, recall
from assay.stats.controls.vectors import directions_in


def learned_in(call: Call) -> dict[str, Call]:
    """The calls that gave the directions which a method was handed, by parameter; those that are not known are left out."""
    found = {name: recall(each) for name, each in directions_in(call).items()}
    return {name: each for name, each in found.items() if each is not None}


def learned_again(call: Call, change: Callable[[Call], dict[str, Any]], *, model: Any = None) -> dict[str, Any]:
    """The directions that a method was handed, each found again with what `change` says of its call, the first ones first."""
    return {
        name: each.again(**{"model": model} | change(each) | learned_again(each, change, model=model))
        for name, each in learned_in(call).items()
    }


def first_learned(call: Call) -> Call | None:
    """The call that found the directions in the first place, if it is known and there is one."""
    inner = list(learned_in(call).values())
    return None if len(inner) != 1 else first_learned(inner[0]) or inner[0]


def seconds_of(call: Call) -> float:
    """What the call and all that was learned for it took."""
    return call.seconds + sum(seconds_of(each) for each in learned_in(call).values())
