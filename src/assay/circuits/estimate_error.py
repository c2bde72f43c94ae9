"""How far estimated scores are from exact ones of the same parts, as a step of a study: `approximation` as a method."""

from __future__ import annotations

from typing import Annotated

import xarray as xr

from assay.circuits.approximation import approximation_error
from assay.circuits.claims import COMPARED
from assay.core.protocols import Scores
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.stats import Estimate

NUMBERS = ("r_squared", "slope", "relative_error", "spearman", "kendall")


@method(
    gives=Result,
    cites=("arXiv:2310.10348", "arXiv:2403.00745"),
    cost="none",
    assumes="scores of the same parts, in the same unit if slope and relative error are to mean anything",
    fails_when="most parts do nothing: the rank correlation of all is then that of noise; look at recall",
    claim=COMPARED,
)
def estimate_error(
    model: Model,
    pairs: Pairs,
    *,
    approximate: Scores,
    exact: Scores,
    absolute: Annotated[bool, "compare sizes, signs left out: for methods that give none"] = False,
    at: Annotated[tuple[int, ...], "the k of recall at k"] = (5, 10, 20),
    seed: Annotated[int, "of the bootstrap"] = 0,
) -> Result:
    """How well one method's scores agree with exact ones, over the parts that have both.

    `r_squared`, `slope`, `relative_error`, `spearman`, `kendall` (bound), `recall` (k, bound); bounds are the ends of 95 %
    intervals over parts. `approximate` and `exact` (component) are what was compared.
    """
    error = approximation_error(approximate, exact, absolute=absolute, at=at, seed=seed)
    data = xr.Dataset(
        {name: ("bound", _bounds(getattr(error, name))) for name in NUMBERS}
        | {
            "recall": (("k", "bound"), [_bounds(each) for each in error.recall.values()]),
            "approximate": ("component", error.approximate),
            "exact": ("component", error.exact),
        },
        coords={"bound": ["value", "low", "high"], "k": list(error.recall), "component": list(error.components)},
    )
    return Result(data, Provenance.now(facts=[f"approximate: {approximate.quantity}", *error.facts()]))


def _bounds(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]
