"""From measured curves to numbers with intervals: what each ranking recovers at each size, areas, sizes, spread.

Every interval is a bootstrap over examples (or over templates): examples are drawn anew, the same ones for circuit, whole
model and empty circuit, and the whole quantity is worked out again. It says how far the numbers would move on other prompts
of the same kind; it does not cover the choice of the circuit, which was made on prompts of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from assay.circuits.evaluation.areas import (
    cmd,
    cpr,
    mean_of_ratios,
    per_example_ratios,
    ratio_of_means,
    size_at,
)
from assay.stats.bootstrap import Units, bootstrap_statistic

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RECOVERIES = (0.8, 0.9, 0.95)
QUANTITIES = ("cpr", "cmd", "cpr_log", "cmd_log", *(f"size_{round(100 * r)}" for r in RECOVERIES))
BOUNDS = ("value", "low", "high")
Statistic = Callable[[np.ndarray], Any]
"""A number (or an array of them) from the indices of the examples that were drawn."""


def summarised(data: xr.Dataset, *, resamples: int, seed: int, clusters: Sequence[object] | None = None) -> xr.Dataset:
    """The dataset of a curve with what follows from it.

    Takes `logit_diff` (ranking, fraction, example), `whole` and `empty` (example) and the coordinate `edges` (ranking,
    fraction). Adds `recovered` (ranking, fraction, bound), `mean_of_ratios` (ranking, fraction), `spread` (ranking, fraction,
    quantile) of each example's own ratio, and `summary` (ranking, quantity, bound).

    Raises:
        DataError: the whole model and the empty circuit do the same on average.
    """
    kept = data["logit_diff"].transpose("ranking", "fraction", "example").values
    whole, empty = data["whole"].values, data["empty"].values
    ratio_of_means(kept, whole, empty)  # refuses a gap of zero, once and in words
    units = Units(kept.shape[-1], None if clusters is None else tuple(clusters))
    draw = _Draw(units, resamples, seed)
    fractions = data["fraction"].values.tolist()
    edges = data["edges"].transpose("ranking", "fraction").values
    own = per_example_ratios(kept, whole, empty)
    with np.errstate(all="ignore"):
        spread = np.stack([_quantile(own, q) for q in QUANTILES], axis=-1)
    points = [[draw(_recovery(row, whole, empty)) for row in curve] for curve in kept]
    summaries = [
        [draw(_of(quantity, _recovery(curve, whole, empty))) for quantity in _quantities(fractions, sizes)]
        for curve, sizes in zip(kept, edges, strict=True)
    ]
    added = {
        "recovered": (("ranking", "fraction", "bound"), np.array(points)),
        "mean_of_ratios": (("ranking", "fraction"), mean_of_ratios(kept, whole, empty)),
        "spread": (("ranking", "fraction", "quantile"), spread),
        "summary": (("ranking", "quantity", "bound"), np.array(summaries)),
    }
    coords: Mapping[str, Any] = {"bound": list(BOUNDS), "quantile": list(QUANTILES), "quantity": list(QUANTITIES)}
    return data.assign(added).assign_coords(coords)


class _Draw:
    """A statistic of example indices with its interval, as (value, low, high)."""

    def __init__(self, units: Units, resamples: int, seed: int) -> None:
        self.units, self.resamples, self.seed = units, resamples, seed

    def __call__(self, statistic: Statistic) -> tuple[float, float, float]:
        found = bootstrap_statistic(
            lambda at: float(statistic(at)), [self.units], kind="percentile", resamples=self.resamples, seed=self.seed
        )
        return found.value, found.low, found.high


def _recovery(kept: Float[np.ndarray, "*size example"], whole: np.ndarray, empty: np.ndarray) -> Statistic:
    """Ratio of means over drawn examples; not finite where the draw has no gap."""

    def recovered(at: np.ndarray) -> np.ndarray:
        low = empty[at].mean()
        with np.errstate(all="ignore"):
            return np.asarray((kept[..., at].mean(axis=-1) - low) / (whole[at].mean() - low))

    return recovered


def _of(quantity: Callable[[np.ndarray], Any], curve: Statistic) -> Statistic:
    return lambda at: quantity(curve(at))


def _quantities(fractions: Sequence[float], sizes: Sequence[int]) -> list[Callable[[np.ndarray], Any]]:
    """What is computed of one ranking's curve, in the order of QUANTITIES."""
    found: list[Callable[[np.ndarray], Any]] = [
        lambda f: cpr(f, fractions),
        lambda f: cmd(f, fractions),
        lambda f: cpr(f, fractions, axis="log"),
        lambda f: cmd(f, fractions, axis="log"),
    ]
    return [*found, *(_size(sizes, recovery) for recovery in RECOVERIES)]


def _size(sizes: Sequence[int], recovery: float) -> Callable[[np.ndarray], float]:
    return lambda recovered: size_at(recovered, sizes, recovery=recovery)


def _quantile(values: np.ndarray, q: float) -> np.ndarray:
    """Of the examples that have a ratio; NaN where none has."""
    if np.isnan(values).all():
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(np.nanquantile(values, q, axis=-1))
