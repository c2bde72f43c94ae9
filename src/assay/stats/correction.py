"""Corrections for asking several questions at once.

Holm 1979 (jstor.org/stable/4615733) for p-values; for intervals, Bonferroni: each at level 1 − α / m, so that all m
intervals hold their true values together with probability 1 − α at least.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.core.errors import DataError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise DataError("p-values lie between 0 and 1.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return tuple(float(each) for each in adjusted)


def bonferroni_level(level: float, questions: int) -> float:
    """The level of each of `questions` intervals that together hold at `level`.

    >>> round(bonferroni_level(0.95, 5), 4)
    0.99
    """
    if questions < 1:
        raise DataError("There is no question to correct for.")
    return 1 - (1 - level) / questions
