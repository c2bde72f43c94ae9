"""The metric of a circuit method: one number for each prompt, larger where the behaviour is stronger.

Scores are changes of the metric in its own unit, signed so that a part which helps the behaviour is positive: what is lost
when it is ablated, or gained when it is restored. Metrics of which less is better (KL, loss, rank) are counted negatively.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from assay.core.errors import DataError, ExperimentError
from assay.experiments.metric import AnyMetric
from assay.experiments.metrics import Metric
from assay.experiments.record import explain

LESS_IS_BETTER = ("kl", "reverse_kl", "loss", "rank")
ROUNDING = 1e-6
"""A mean difference below this share of the numbers themselves is rounding."""

_ADAPTER: TypeAdapter[Metric] = TypeAdapter(AnyMetric)
PerExample = Float[np.ndarray, " example"]


def as_metric(given: object) -> Metric:
    """A metric from its kind ("logit_diff"), from plain data, or as it is; it must give one number for each prompt.

    Raises:
        ExperimentError: it would give one for each position, or one for all prompts.
    """
    metric = given if isinstance(given, Metric) else _read(given)
    if metric.reduce_examples != "none":
        raise ExperimentError(
            f"the metric {metric.kind} is reduced over examples: methods need a number for each prompt."
        )
    if metric.reduce == "none" and not isinstance(metric.pos, int | str):
        raise ExperimentError(
            f"the metric {metric.kind} gives a number for each position: choose one with pos=, or say reduce='mean'."
        )
    return metric


def _read(given: object) -> Metric:
    plain = {"kind": given} if isinstance(given, str) else given
    if not isinstance(plain, Mapping):
        raise ExperimentError(
            f"{given!r} is no metric: expected the name of one, 'logit_diff', or one made with assay's metric; of a function, "
            "metric.call(function)."
        )
    if plain.get("kind") == "loss":
        plain = {"pos": None, **plain}  # at the last position, where the others are read, there is no next token
    try:
        return _ADAPTER.validate_python(plain)
    except ValidationError as error:
        raise ExperimentError(f"metric: {explain(error, Metric)}") from None


AMetric = Annotated[AnyMetric | str, BeforeValidator(as_metric)]
"""As a setting: any metric, or the name of a kind that needs no more than the pairs' answers."""
METRIC = "what is measured; larger means that the behaviour is stronger (KL, loss and rank are counted negatively)"


def sign_of(metric: Metric) -> float:
    """1 where more of the metric is more of the behaviour, −1 where less is."""
    return -1.0 if metric.kind in LESS_IS_BETTER else 1.0


def reading(metric: Metric, **of: str) -> tuple[Metric, ...]:
    """The metric once for each run: `reading(m, clean="clean")` names what it reads in the run "clean" `clean`."""
    return tuple(metric.model_copy(update={"name": name, "run": run}) for name, run in of.items())


def check_gap(metric: Metric, clean: PerExample, corrupt: PerExample) -> None:
    """Refuse a contrast without a contrast.

    Raises:
        DataError: the metric's mean is the same on clean and counterfactual prompts, or not a number.
    """
    gap, size = float(np.mean(clean - corrupt)), float(np.mean(np.abs(clean)) + np.mean(np.abs(corrupt)))
    if not np.isfinite(gap):
        raise DataError(f"the metric {metric.kind} is not finite on these prompts: it must be a number on every one.")
    if abs(gap) <= ROUNDING * size:
        raise DataError(
            f"the metric {metric.kind} has the same mean on clean and counterfactual prompts ({float(np.mean(clean)):.4g}): "
            "nothing to explain. Choose another metric, or counterfactuals that change the answer."
        )


def total_fact(metric: Metric, values: Mapping[str, Any]) -> str:
    """The means of the unchanged runs, in words."""
    shown = ", ".join(f"{float(np.mean(value)):.3g} {name}" for name, value in values.items())
    n = len(next(iter(values.values())))
    return f"mean {metric.kind}: {shown}, n = {n}"
