"""From measured curves to numbers with intervals: what each ranking recovers at each size, areas, sizes, spread.

Every interval is a bootstrap over examples (or over templates): examples are drawn anew, the same ones for circuit, whole
model and empty circuit, and the whole quantity is worked out again. It says how far the numbers would move on other prompts
of the same kind; it does not cover the choice of the circuit, which was made on prompts of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from assay.stats.bootstrap import Units, draw_counts

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RECOVERIES = (0.8, 0.9, 0.95)
QUANTITIES = ("cpr", "cmd", "cpr_log", "cmd_log", *(f"size_{round(100 * r)}" for r in RECOVERIES))
BOUNDS = ("value", "low", "high")
LEVEL = 0.95
RESAMPLES = 1000


def summarised(data: xr.Dataset, *, clusters: Sequence[object] | None = None) -> xr.Dataset:
    """The dataset of a curve with what follows from it; `clusters` labels examples that are drawn together.

    Takes `kept` (ranking, fraction, example), `whole` and `empty` (example) and the coordinate `edges` (ranking,
    fraction). Adds `recovered` (ranking, fraction, bound), `mean_of_ratios` (ranking, fraction), `spread` (ranking, fraction,
    quantile) of each example's own ratio, and `summary` (ranking, quantity, bound).

    Raises:
        DataError: the whole model and the empty circuit do the same on average.
    """
    kept = data["kept"].transpose("ranking", "fraction", "example").values
    whole, empty = data["whole"].values, data["empty"].values
    units = Units(kept.shape[-1], None if clusters is None else tuple(clusters))
    value, drawn = recovered(kept, whole, empty, units=units)
    fractions, edges = data["fraction"].values.tolist(), data["edges"].transpose("ranking", "fraction").values
    summary = [
        [interval(quantity(value[i]), quantity(drawn[i])) for quantity in _quantities(fractions, row)]
        for i, row in enumerate(edges)
    ]
    own = per_example_ratios(kept, whole, empty)
    added = {
        "recovered": (("ranking", "fraction", "bound"), bounds(value, drawn.swapaxes(1, 2))),
        "mean_of_ratios": (("ranking", "fraction"), mean_of_ratios(kept, whole, empty)),
        "spread": (("ranking", "fraction", "quantile"), spread(own)),
        "summary": (("ranking", "quantity", "bound"), np.array(summary)),
    }
    coords: Mapping[str, Any] = {"bound": list(BOUNDS), "quantile": list(QUANTILES), "quantity": list(QUANTITIES)}
    return data.assign(added).assign_coords(coords)


def recovered(
    kept: Float[np.ndarray, "*first circuit example"], whole: np.ndarray, empty: np.ndarray, *, units: Units
) -> tuple[Float[np.ndarray, "*first circuit"], Float[np.ndarray, "*first resample circuit"]]:
    """What circuits recover, and what they would recover on examples drawn anew; not finite where a draw has no gap."""
    value = ratio_of_means(kept, whole, empty)  # refuses a gap of zero, in words
    counts = draw_counts(units, resamples=RESAMPLES)
    low, gap = counts @ empty, counts @ (whole - empty)
    with np.errstate(all="ignore"):
        drawn = (kept @ counts.T - low) / gap
    return value, drawn.swapaxes(-1, -2)


def bounds(value: Float[np.ndarray, "*circuits"], drawn: Float[np.ndarray, "*circuits resample"]) -> np.ndarray:
    """Values with the ends of their percentile intervals, as a last axis; draws that are not finite are left out."""
    known = np.where(np.isfinite(drawn), drawn, np.nan)
    tail = (1 - LEVEL) / 2
    if np.isnan(known).all():
        return np.stack([value, np.full_like(value, np.nan), np.full_like(value, np.nan)], axis=-1)
    low, high = np.nanquantile(known, [tail, 1 - tail], axis=-1)
    return np.stack([value, low, high], axis=-1)


def interval(value: Any, drawn: np.ndarray) -> tuple[float, float, float]:
    """One quantity with its percentile interval. A size that is never reached is beyond all others."""
    tail = (1 - LEVEL) / 2
    ordered = np.where(np.isnan(drawn), np.inf, drawn)
    low, high = np.quantile(ordered, [tail, 1 - tail], method="inverted_cdf")
    return float(value), float(low), float(high)


def spread(ratios: Float[np.ndarray, "*circuits example"]) -> Float[np.ndarray, "*circuits quantile"]:
    """Quantiles over the examples that have a ratio; NaN where none has."""
    if np.isnan(ratios).all():
        return np.full((*ratios.shape[:-1], len(QUANTILES)), np.nan)
    return np.moveaxis(np.nanquantile(ratios, QUANTILES, axis=-1), 0, -1)


def _quantities(fractions: Sequence[float], sizes: Sequence[int]) -> list[Callable[[np.ndarray], np.ndarray]]:
    """What is computed of one curve, or of many along a first axis, in the order of QUANTITIES."""
    return [
        partial(cpr, fractions=fractions),
        partial(cmd, fractions=fractions),
        partial(cpr, fractions=fractions, axis="log"),
        partial(cmd, fractions=fractions, axis="log"),
        *(partial(_sizes_at, sizes=sizes, recovery=recovery) for recovery in RECOVERIES),
    ]


def _sizes_at(curves: np.ndarray, sizes: Sequence[int], recovery: float) -> np.ndarray:
    return np.apply_along_axis(size_at, -1, curves, sizes, recovery=recovery)
