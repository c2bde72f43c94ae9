"""What a method's results claim, so that they can be compared with controls without being asked.

    @method(claim="steering", ...)                                              the kind says which controls are needed
    @method(claim=Claim("localisation", variable="kept", at={"circuit": "found"},
                        beside={"random": Beside("kept", "circuit", r"random \\d+")}), ...)
    @method(claim=Unclaimed("a baseline: it is what others are compared with"), ...)

A claim names the number that it is about, the controls that the result holds already, and those that make no sense for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Beside:
    """A control inside the result: the same quantity in `variable`, a draw for each label of the dimension `along`."""

    variable: str
    along: str | None = None
    """Nothing: the whole variable is one draw."""
    labels: str = ".*"
    """A regular expression: which labels are draws of the control."""


@dataclass(frozen=True)
class Claim:
    """What kind of claim, and of which number in a Result."""

    kind: str
    variable: str | None = None
    """Which variable of a Result; nothing means the first."""
    at: Mapping[str, str] = field(default_factory=dict)
    """Labels of dimensions at which it is read."""
    over: Literal["best", "all"] = "best"
    """Whether the best of the cells that are left is meant, or the mean of all."""
    pairs: bool = False
    """Whether each example's number is the mean over both prompts of its pair, not the clean one's."""
    absolute: bool = False
    """Whether size counts, not sign (in Scores it always does)."""
    beside: Mapping[str, Beside] = field(default_factory=dict)
    """Controls that are in the result, by name."""
    without: Mapping[str, str] = field(default_factory=dict)
    """Controls that make no sense for it, and why."""


@dataclass(frozen=True)
class Unclaimed:
    """No claim that controls could test."""

    why: str


Claimed = Claim | Unclaimed


def as_claim(claim: str | Claimed | None) -> Claimed | None:
    """A kind of claim by name as a claim of the first variable."""
    return Claim(claim) if isinstance(claim, str) else claim
