"""Agreement between raters beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number with gaps.

1 is perfect agreement, 0 what chance gives, below 0 less than chance. Intervals are bootstraps over the rated units. Both are
undefined where every rating is the same; that is an error, not 1. Sources: Cohen 1960, doi:10.1177/001316446002000104;
Krippendorff 2011, *Computing Krippendorff's alpha-reliability*; weights: Cohen 1968, doi:10.1037/h0026256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import DataError
from assay.stats.bootstrap import Units, bootstrap_statistic
from assay.stats.estimate import Estimate

Weights = Literal["none", "linear", "quadratic"]
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def cohen_kappa(
    first: Sequence[object],
    second: Sequence[object],
    *,
    weights: Weights = "none",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Agreement of two raters on the same units. With `weights`, labels are ordered and near ones count in part."""
    if len(first) != len(second) or not len(first):
        raise DataError(f"Two raters rate the same units: {len(first)} ratings against {len(second)}.")
    labels = _labels([*first, *second], ordered=weights != "none")
    a, b = (np.array([labels[each] for each in ratings]) for ratings in (first, second))
    k = len(labels)
    far = _disagreement(k, weights)

    def kappa(drawn: Int[np.ndarray, " unit"]) -> float:
        table = np.bincount(a[drawn] * k + b[drawn], minlength=k * k).reshape(k, k) / len(drawn)
        expected = float((np.outer(table.sum(1), table.sum(0)) * far).sum())
        return 1 - float((table * far).sum()) / expected if expected else float("nan")

    name = "Cohen's kappa" + ("" if weights == "none" else f", {weights} weights")
    return _over_units(kappa, len(a), name, level, resamples, seed)


def krippendorff_alpha(
    ratings: Float[np.ndarray, "rater unit"],
    *,
    scale: Scale = "nominal",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Agreement of any number of raters; NaN where one did not rate. `n` counts the units with two ratings or more."""
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2:
        raise DataError(f"Ratings are an array of raters × units, not of shape {table.shape}.")
    values = np.unique(table[~np.isnan(table)])
    counts = np.stack([(table == value).sum(0) for value in values], axis=1).astype(float)  # unit, value
    counts = counts[counts.sum(1) >= 2]
    if not len(counts):
        raise DataError("No unit has two ratings: there is nothing to compare.")
    units = _coincidences(counts)

    def alpha(drawn: Int[np.ndarray, " unit"]) -> float:
        together = units[drawn].sum(0)
        totals = together.sum(1)
        far = _distance(scale, values, totals)
        expected = float((np.outer(totals, totals) * far).sum()) / (totals.sum() - 1)
        return 1 - float((together * far).sum()) / expected if expected else float("nan")

    return _over_units(alpha, len(units), f"Krippendorff's alpha, {scale}", level, resamples, seed)


def _over_units(statistic: object, n: int, name: str, level: float, resamples: int, seed: int) -> Estimate:
    if np.isnan(statistic(np.arange(n))):  # type: ignore[operator]
        raise DataError(f"{name} is undefined: every rating is the same.")
    found = bootstrap_statistic(
        statistic,  # type: ignore[arg-type]
        [Units(n)],
        kind="percentile",
        level=level,
        resamples=resamples,
        seed=seed,
    )
    return Estimate(found.value, found.low, found.high, n, f"{name}, {found.method} over units", level)


def _labels(ratings: Sequence[object], *, ordered: bool) -> dict[object, int]:
    known = dict.fromkeys(ratings)
    return {label: i for i, label in enumerate(sorted(known) if ordered else known)}  # type: ignore[type-var]


def _disagreement(k: int, weights: Weights) -> Float[np.ndarray, "label label"]:
    apart = np.abs(np.arange(k)[:, None] - np.arange(k)[None, :]).astype(float)
    return np.asarray({"none": apart > 0, "linear": apart, "quadratic": apart**2}[weights], dtype=float)


def _coincidences(counts: Float[np.ndarray, "unit value"]) -> Float[np.ndarray, "unit value value"]:
    """How often two values stand together in each unit, each unit's ratings counted once."""
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs -= np.eye(counts.shape[1]) * counts[:, None, :]
    return np.asarray(pairs / (counts.sum(1) - 1)[:, None, None])


def _distance(
    scale: Scale, values: Float[np.ndarray, " value"], totals: Float[np.ndarray, " value"]
) -> Float[np.ndarray, "value value"]:
    """The squared difference of two values on a scale."""
    if scale == "nominal":
        return np.asarray(1 - np.eye(len(values)))
    if scale == "ordinal":
        ranks = np.cumsum(totals) - totals / 2
        return np.asarray((ranks[:, None] - ranks[None, :]) ** 2)
    apart = values[:, None] - values[None, :]
    if scale == "interval":
        return np.asarray(apart**2)
    total = values[:, None] + values[None, :]
    return np.asarray(np.divide(apart, total, out=np.zeros_like(apart), where=total != 0) ** 2)
