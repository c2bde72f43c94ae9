"""Equivalence: evidence that a difference is too small to matter, which a large p of a difference test is not.

Two one-sided tests (Schuirmann 1987, doi:10.1007/BF01068419; Lakens 2017, doi:10.1177/1948550617697177): the difference is
above the margin's lower end, and below its upper end, each at 1 − level. The same as asking whether the interval at
2 · level − 1 (90 % for .95) lies inside the margin. `tost` takes the interval from t, `tost_bootstrap` from resampled
examples or clusters. The margin must be chosen before looking: it is the smallest effect that would matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.errors import DataError
from assay.stats.bootstrap import Units, bootstrap, draw_counts
from assay.stats.estimate import Estimate
from assay.stats.examples import numbers_of, paired_numbers
from assay.stats.mean import mean
from assay.stats.value import Value


@dataclass(frozen=True)
class Equivalence(Value):
    """Whether a difference lies inside a margin: its interval at 2 · level − 1, and the larger of two one-sided p."""

    estimate: Estimate
    low: float
    high: float
    p: float
    level: float = 0.95

    @property
    def equivalent(self) -> bool:
        """Whether the whole interval lies inside the margin."""
        return self.low < self.estimate.low and self.estimate.high < self.high

    @property
    def method(self) -> str:
        """How it was tested."""
        return f"two one-sided tests, {self.estimate.method}"

    def __str__(self) -> str:
        margin = f"±{self.high:g}" if self.low == -self.high else f"[{self.low:g}, {self.high:g}]"
        outcome = "inside" if self.equivalent else "not shown to be inside"
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else f"p = {self.p:.1e}"
        return f"{self.estimate}, {outcome} {margin}, {p}"


def tost(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"] | float = 0.0,
    *,
    margin: float | tuple[float, float],
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
) -> Equivalence:
    """Is the mean of `first − second` (the same examples, or one number) inside the margin? By Student's t.

    >>> print(tost([0.01, -0.02, 0.0, 0.02, -0.01, 0.01], margin=0.05))
    0.00 [-0.01, 0.01] (90 %), n = 6, inside ±0.05, p = 2.4e-04
    """
    values, (low, high) = _differences(first, second), _ends(margin)
    found = mean(values, clusters=clusters, level=2 * level - 1)
    df = (found.clusters or found.n) - 1
    error = found.half_width / float(stats.t.ppf(level, df))
    p = max(_above(found.value - low, error, df), _above(high - found.value, error, df))
    return Equivalence(found, low, high, p, level)


def tost_bootstrap(
    first: Float[np.ndarray, " example"],
    second: Float[np.ndarray, " example"] | float = 0.0,
    *,
    margin: float | tuple[float, float],
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Equivalence:
    """As `tost`, by resampled examples or clusters. The p is the share of resamples beyond the nearer end of the margin."""
    values, (low, high) = _differences(first, second), _ends(margin)
    found = bootstrap(values, clusters=clusters, level=2 * level - 1, resamples=resamples, seed=seed)
    counts = draw_counts(
        Units(len(values), None if clusters is None else tuple(clusters)), resamples=resamples, seed=seed
    )
    drawn = counts @ values / counts.sum(1)
    beyond = max(int((drawn <= low).sum()), int((drawn >= high).sum()))
    return Equivalence(found, low, high, (1 + beyond) / (1 + resamples), level)


def _above(distance: float, error: float, df: int) -> float:
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, df))


def _differences(first: Float[np.ndarray, " example"], second: Float[np.ndarray, " example"] | float) -> np.ndarray:
    if isinstance(second, int | float):
        return numbers_of(first) - second
    return np.asarray(np.subtract(*paired_numbers(first, second)))


def _ends(margin: float | tuple[float, float]) -> tuple[float, float]:
    low, high = (-float(margin), float(margin)) if isinstance(margin, int | float) else map(float, margin)
    if not low < high:
        raise DataError(f"The margin [{low:g}, {high:g}] is empty: give a positive number, or its two ends.")
    return low, high
