"""Conditions on a number, as people write them: `>= 0.9`, `< 10`, `in [0.2, 0.4]`.

>>> Condition.parse(">= 0.9").holds(0.95)
True
"""

from __future__ import annotations

import math
import operator
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from assay.stats.estimate import Estimate

_OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ONE_SIDED = re.compile(rf"^\s*(>=|<=|>|<)\s*({_NUMBER})\s*$")
_BETWEEN = re.compile(rf"^\s*in\s*\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]\s*$")


class Condition(BaseModel):
    """A number and how another one must compare with it; written and stored as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    relation: Literal[">=", ">", "<=", "<", "in"]
    """How the quantity must compare."""
    low: float
    """The number; for `in`, the lower end."""
    high: float | None = None
    """For `in`, the upper end."""

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that a text such as `>= 0.9` says."""
        return cls.model_validate(text)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if one := _ONE_SIDED.match(value):
            return {"relation": one[1], "low": float(one[2])}
        if between := _BETWEEN.match(value):
            low, high = float(between[1]), float(between[2])
            if low > high:
                raise ValueError(f"the interval [{low:g}, {high:g}] is empty")
            return {"relation": "in", "low": low, "high": high}
        raise ValueError(f'{value!r} holds no number to compare with: write ">= 0.9", "< 10" or "in [0.2, 0.4]"')

    @model_serializer
    def _to_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self.relation == "in":
            return f"in [{self.low:g}, {self.high:g}]"
        return f"{self.relation} {self.low:g}"

    def holds(self, number: float) -> bool:
        """Whether the number meets the condition."""
        if self.high is not None:
            return self.low <= number <= self.high
        return bool(_OPERATORS[self.relation](number, self.low))

    def holds_throughout(self, estimate: Estimate) -> bool:
        """Whether every number of the interval meets the condition. Conditions are convex: its ends decide."""
        return self.holds(estimate.low) and self.holds(estimate.high)

    def overlaps(self, other: Condition) -> bool:
        """Whether some number meets both. Both are intervals, so a number next to one of their ends decides."""
        ends = [end for each in (self, other) for end in (each.low, each.high) if end is not None]
        near = [
            number for end in ends for number in (math.nextafter(end, -math.inf), end, math.nextafter(end, math.inf))
        ]
        return any(self.holds(number) and other.holds(number) for number in near)

    def fails_throughout(self, estimate: Estimate) -> bool:
        """Whether no number of the interval meets the condition."""
        if self.high is not None:
            return estimate.high < self.low or estimate.low > self.high
        return not self.holds(estimate.low) and not self.holds(estimate.high)
