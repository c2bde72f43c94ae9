"""How well scores tell what is in a known set from what is not: AUROC and average precision.

AUROC is the probability that something of the set has a higher score than something outside it, ties counting half (the
Mann-Whitney statistic): .5 for scores that know nothing, constant ones included. Average precision is the precision at each
threshold weighted by the recall gained there, where all that have one score are taken together, so the order of ties does
not matter: scores that know nothing have the share of the set in the whole.

Cost: one sort. NaN is refused, infinities are ordered as numbers are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from assay.core.errors import DataError, nearest
from assay.core.protocols import Scores
from assay.stats.bootstrap import bootstrap
from assay.stats.estimate import Estimate


@dataclass(frozen=True)
class Found:
    """How well a ranking finds a set of `positives` among `n`."""

    auroc: float
    average_precision: float
    positives: int
    n: int

    def __str__(self) -> str:
        return f"AUROC {self.auroc:.2f}, average precision {self.average_precision:.2f} ({self.positives} of {self.n})"


def found(scores: Scores, truth: Collection[str], *, absolute: bool = True) -> Found:
    """How well scores find the components of `truth` among all that they score.

    `absolute`: by the size of a score, whatever its sign: a part that works against the behaviour is a part of it too.

    Raises:
        DataError: a component of the truth has no score, nothing or everything is in the truth, or a score is NaN.
    """
    missing = sorted(set(truth) - set(scores.components))
    if missing:
        near = nearest(missing[0], scores.components)
        raise DataError(f"{len(missing)} of {len(truth)} components of the truth have no score: {missing[0]!r}.{near}")
    values = np.abs(scores.values) if absolute else scores.values
    positive = np.array([name in set(truth) for name in scores.components])
    return Found(auroc(values, positive), average_precision(values, positive), int(positive.sum()), len(positive))


def auroc(values: Float[np.ndarray, " item"], positive: Bool[np.ndarray, " item"]) -> float:
    """The area under the ROC curve, ties counting half.

    >>> auroc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
    0.875
    """
    values, positive = _checked(values, positive)
    n = int(positive.sum())
    above = rankdata(values)[positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(values) - n)))


def average_precision(values: Float[np.ndarray, " item"], positive: Bool[np.ndarray, " item"]) -> float:
    """The mean of the precision over the recall, equal scores taken together.

    >>> average_precision(np.array([1.0, 1.0, 1.0, 1.0]), np.array([True, False, False, False]))
    0.25
    """
    values, positive = _checked(values, positive)
    order = np.argsort(-values, kind="stable")
    falls = values[order][:-1] > values[order][1:]
    ends = np.flatnonzero(np.append(falls, True))  # the last of each group of equal scores
    hits = np.cumsum(positive[order])[ends]
    gained = np.diff(hits, prepend=0) / positive.sum()
    return float((gained * hits / (ends + 1)).sum())


def over_seeds(values: Sequence[float], *, level: float = 0.95, resamples: int = 2000) -> Estimate:
    """The mean over seeds with its percentile bootstrap interval: what another draw of seeds could give."""
    return bootstrap(np.asarray(values, dtype=float), kind="percentile", level=level, resamples=resamples)


def _checked(
    values: Float[np.ndarray, " item"], positive: Bool[np.ndarray, " item"]
) -> tuple[Float[np.ndarray, " item"], Bool[np.ndarray, " item"]]:
    numbers, wanted = np.asarray(values, dtype=float), np.asarray(positive, dtype=bool)
    if numbers.shape != wanted.shape or numbers.ndim != 1:
        raise DataError(f"One score for each item is wanted: {numbers.shape} scores, {wanted.shape} marks.")
    if np.isnan(numbers).any():
        raise DataError(f"{int(np.isnan(numbers).sum())} of {len(numbers)} scores are NaN: they have no rank.")
    if wanted.all() or not wanted.any():
        which = "nothing" if not wanted.any() else "everything"
        raise DataError(f"A ranking can't be scored where {which} of {len(wanted)} items is to be found.")
    return numbers, wanted
