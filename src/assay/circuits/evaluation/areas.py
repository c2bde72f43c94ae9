"""How much of a behaviour circuits of growing size recover, in one number: the arithmetic, with no model in it.

    f(C) = (m(C) − m(∅)) / (m(all) − m(∅))       m(∅): every edge carries its ablated value

m is a mean over examples, taken *before* the ratio, as MIB does (`ratio_of_means`); the mean of each example's own ratio
is given beside it (`mean_of_ratios`), since the two can differ a lot (Wang et al. 2022; Miller et al. 2024).

`area` is a trapezoid over the fraction of edges asked for. Of f it is MIB's CPR, of |1 − f| its CMD; MIB integrates over a
linear axis from .001 to 1, so that half of it is the last interval: a circuit that is nothing until it is everything has
CPR .25 and CMD .75. On the logarithmic axis every tenfold counts alike; there the area is divided by the axis' length.

CPR has no upper bound (it grows when parts that work against the answer are left out); CMD is the one that says faithful.
Sources: Mueller et al. 2025, arXiv:2504.13151; Wang et al. 2022, arXiv:2211.00593; Miller et al. 2024, arXiv:2407.08734.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.core.errors import DataError

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The fractions of all edges at which MIB measures."""
NO_GAP = 1e-6
"""A difference smaller than this share of the numbers it is taken of is rounding, and nothing is divided by it."""

Axis = Literal["linear", "log"]


def ratio_of_means(
    kept: Float[np.ndarray, "*circuits example"],
    whole: Float[np.ndarray, " example"],
    empty: Float[np.ndarray, " example"],
) -> Float[np.ndarray, "*circuits"]:
    """What each circuit recovers: 0 is the empty circuit, 1 the whole model; means over examples first.

    Raises:
        DataError: the whole model and the empty circuit do the same on average, so there is nothing to recover.
    """
    return ratio(kept.mean(axis=-1), float(whole.mean()), float(empty.mean()))


def ratio(kept: np.ndarray, whole: float, empty: float) -> np.ndarray:
    """(kept − empty) / (whole − empty)."""
    if not has_gap(np.array(whole), np.array(empty)):
        raise DataError(
            f"The metric is {whole:.4g} with the whole model and {empty:.4g} with the empty circuit: there is no gap to "
            "recover. Take prompts or a metric in which clean and ablated runs differ."
        )
    return np.asarray((kept - empty) / (whole - empty))


def mean_of_ratios(
    kept: Float[np.ndarray, "*circuits example"],
    whole: Float[np.ndarray, " example"],
    empty: Float[np.ndarray, " example"],
) -> Float[np.ndarray, "*circuits"]:
    """The mean over examples of each example's own ratio; examples without a gap are left out, NaN if all are."""
    ratios = per_example_ratios(kept, whole, empty)
    if np.isnan(ratios).all():
        return np.full(ratios.shape[:-1], np.nan)
    return np.asarray(np.nanmean(ratios, axis=-1))


def per_example_ratios(
    kept: Float[np.ndarray, "*circuits example"],
    whole: Float[np.ndarray, " example"],
    empty: Float[np.ndarray, " example"],
) -> Float[np.ndarray, "*circuits example"]:
    """Each example's own ratio; NaN where it has no gap."""
    gap = np.where(has_gap(whole, empty), whole - empty, np.nan)
    return np.asarray((kept - empty) / gap)


def has_gap(whole: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Whether two values differ by more than rounding."""
    return np.asarray(np.abs(whole - empty) > NO_GAP * np.maximum(np.abs(whole), np.abs(empty)))


def area(
    values: Float[np.ndarray, "*any size"], fractions: Sequence[float], *, axis: Axis = "linear"
) -> Float[np.ndarray, "*any"]:
    """The trapezoid under values over fractions. On the log axis it is divided by the axis' length, so that 1 stays 1."""
    places = _places(fractions, values.shape[-1])
    if axis == "log":
        logs = np.log(places)
        return np.asarray(_trapezoid(values, logs) / (logs[-1] - logs[0]))
    return _trapezoid(values, places)


def cpr(recovered: np.ndarray, fractions: Sequence[float], *, axis: Axis = "linear") -> np.ndarray:
    """MIB's circuit performance ratio: the area under what is recovered, of circuits ranked by signed scores.

    >>> all_or_nothing = np.array([0.0] * 9 + [1.0])
    >>> round(float(cpr(all_or_nothing, FRACTIONS)), 3)
    0.25
    """
    return area(recovered, fractions, axis=axis)


def cmd(recovered: np.ndarray, fractions: Sequence[float], *, axis: Axis = "linear") -> np.ndarray:
    """MIB's circuit-model distance: the area of |1 − recovered|, of circuits ranked by absolute scores."""
    return area(np.abs(1 - recovered), fractions, axis=axis)


def size_at(recovered: Float[np.ndarray, " size"], sizes: Sequence[int], *, recovery: float) -> float:
    """The smallest measured size from which on at least `recovery` is recovered; NaN if even the largest falls short.

    A size that reaches it by chance and is followed by one that does not is not counted.

    >>> size_at(np.array([0.1, 0.85, 0.7, 0.9, 1.0]), [1, 2, 4, 8, 16], recovery=0.8)
    8.0
    """
    short = np.flatnonzero(~(np.asarray(recovered) >= recovery))
    first = int(short[-1]) + 1 if len(short) else 0
    return float(sizes[first]) if first < len(sizes) else float("nan")


def _trapezoid(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.asarray(((values[..., 1:] + values[..., :-1]) / 2) @ np.diff(places))


def _places(fractions: Sequence[float], sizes: int) -> np.ndarray:
    places = np.asarray(fractions, dtype=float)
    if len(places) != sizes or len(places) < 2:
        raise DataError(f"{sizes} values over {len(places)} fractions: an area needs one for each, and at least two.")
    if not (np.diff(places) > 0).all() or places[0] <= 0 or places[-1] > 1:
        raise DataError(f"Fractions must grow from above 0 to at most 1, not {', '.join(f'{f:g}' for f in places)}.")
    return places
