"""What power of a number a cost follows, and how much of it is constant, linear and quadratic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Law:
    """How a cost follows a number: cost ∝ number^`slope`, and cost = constant + linear + quadratic part.

    `constant` and `quadratic` are these parts' shares of the cost at the largest number.
    """

    slope: float
    constant: float
    quadratic: float

    @property
    def kind(self) -> str:
        """`linear` where the quadratic part is less than a tenth of the whole."""
        return "linear" if abs(self.quadratic) < 0.1 else "quadratic"


def law(numbers: Sequence[float], costs: Sequence[float]) -> Law:
    """Least squares on logarithms, and of relative errors with a constant, a linear and a quadratic term.

    Two numbers give no quadratic term: it is then 0.
    """
    x, y = np.asarray(numbers, dtype=float), np.asarray(costs, dtype=float)
    slope = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    terms = np.stack([np.ones_like(x), x, x * x][: min(3, len(x))], axis=1)
    found = np.linalg.lstsq(terms / y[:, None], np.ones_like(y), rcond=None)[0]
    parts = found * terms[-1] / float(terms[-1] @ found)
    return Law(slope, float(parts[0]), float(parts[2]) if len(parts) > 2 else 0.0)
