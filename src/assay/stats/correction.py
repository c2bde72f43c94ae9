"""Corrections for asking several questions at once.

Holm 1979 (jstor.org/stable/4615733) for p-values; for intervals, Bonferroni: each at level 1 − α / m, so that all m
intervals hold their true values together with probability 1 − α at least. Benjamini & Hochberg 1995
(jstor.org/stable/2346101) bounds the expected share of false findings among the findings instead: for screening many parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from assay.core.errors import DataError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return tuple(float(each) for each in adjusted)


def benjamini_hochberg(p_values: Sequence[float], *, dependent: bool = False) -> tuple[float, ...]:
    """Adjusted p-values, in the order given: taking those up to q keeps the false discovery rate at q.

    Holds where the tests are independent or depend positively; `dependent` is Benjamini & Yekutieli's form, which holds
    always and is stricter by about log(m).

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    if not len(p):
        return ()
    return tuple(float(each) for each in stats.false_discovery_control(p, method="by" if dependent else "bh"))


def bonferroni_level(level: float, questions: int) -> float:
    """The level of each of `questions` intervals that together hold at `level`.

    >>> round(bonferroni_level(0.95, 5), 4)
    0.99
    """
    if questions < 1:
        raise DataError("There is no question to correct for.")
    return 1 - (1 - level) / questions


def _checked(p_values: Sequence[float]) -> np.ndarray:
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("p-values lie between 0 and 1.")
    return p
