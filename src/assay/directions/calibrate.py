"""From directions to one monitor: the one that tells apart best, what its readings mean, and where it says yes.

Everything is chosen on examples of its own (the split `validation`). Readings become log odds: a·reading + b with a ≥ 0,
fitted by logistic regression to smoothed targets (Platt 1999). The threshold is at even odds, or for a rate of false alarms the
⌈(1 − rate)(m + 1)⌉-th smallest of m readings of prompts with the first label: a new one is flagged at most at that rate, on
average over sets to choose on, if it comes from where they came from (conformal prediction, arXiv:2107.07511). Under a shift
that promise is void; `monitor` measures what is left.

Cost: one forward pass of both prompts of each pair.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit

from assay.core.caveats import caveat
from assay.core.claims import Unclaimed
from assay.core.direction import Direction, Directions
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.data.relabel import What
from assay.directions.labels import Prompts, labelled_prompts
from assay.directions.measuring import auroc
from assay.directions.reading import read
from assay.engine.model import Model


@method(
    gives=Directions,
    cites=("Platt 1999, probabilistic outputs", "arXiv:2107.07511"),
    cost="one forward pass of both prompts of each pair",
    assumes="that what is watched later comes from where these examples come from",
    fails_when="it does not: wordings or topics shift, and neither rate nor probabilities hold",
    claim=Unclaimed("a choice: it is judged by what reads it on other examples"),
)
def calibrate(
    model: Model,
    pairs: Pairs,
    *,
    directions: Directions,
    false_alarms: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None,
        "the rate at which prompts of the first label may be flagged; nothing means: flag where both are as likely",
    ] = None,
    label: Annotated[What, "what is told apart: label, answer, side, or auto"] = "auto",
) -> Directions:
    """The direction with the highest AUROC on these examples, with readings as log odds and a threshold for false alarms.

    Raises:
        SettingsError: directions of more than two labels, or too few examples for the rate.
    """
    prompts = labelled_prompts(pairs, label=label, pos=directions.pos or "end", known=directions.labels)
    if len(prompts.labels) != 2:
        raise SettingsError(f"A monitor tells two labels apart; these directions have {len(prompts.labels)}.")
    readings = read(model, prompts, directions)
    areas = np.stack([auroc(each, prompts) for each in readings])
    best = max(range(len(directions)), key=lambda i: (round(float(areas[i].mean()), 9), _apart(readings[i], prompts)))
    chosen = directions.take([directions.names[best]])
    slope, shift = _platt(readings[best], prompts.y == 1)
    one = _as_log_odds(chosen[chosen.names[0]], slope, shift)
    negatives = slope * readings[best][prompts.y == 0] + shift
    threshold = 0.0 if false_alarms is None else _threshold(negatives, false_alarms)
    area = float(areas[best].mean())
    facts = [
        f"{one.name} of {len(directions)}: AUROC {area:.2f} on the {len(pairs)} pairs that it was chosen on",
        "threshold at even odds" if false_alarms is None else f"threshold for {false_alarms:.0%} false alarms",
        *directions.facts,
    ]
    if area <= 0.5:
        facts.append(caveat(f"no direction tells these examples apart: the best has AUROC {area:.2f}"))
    return replace(
        chosen,
        origins=one.origin[None],
        scales=np.array([one.scale]),
        thresholds=np.array([threshold]),
        labels=prompts.labels,
        per_example=areas[best][None],
        quantity="AUROC on the examples that it was chosen on",
        facts=tuple(facts),
    )


def _apart(readings: Float[np.ndarray, " prompt"], prompts: Prompts) -> float:
    """The distance between the means of both labels in standard deviations: among equals, the widest gap is taken."""
    low, high = readings[prompts.y == 0], readings[prompts.y == 1]
    spread = np.sqrt((low.var() + high.var()) / 2)
    return float((high.mean() - low.mean()) / spread) if spread > 0 else 0.0


def _platt(readings: Float[np.ndarray, " prompt"], positive: np.ndarray) -> tuple[float, float]:
    """Slope and shift that make log odds of readings; targets are smoothed, so that a perfect gap has a finite slope."""
    yes, no = positive.sum(), (~positive).sum()
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (no + 2))
    centre, spread = readings.mean(), readings.std() or 1.0
    x = (readings - centre) / spread

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        odds = found[0] * x + found[1]
        apart = expit(odds) - target
        return float(np.logaddexp(0, odds).sum() - (target * odds).sum()), np.array([(apart * x).sum(), apart.sum()])

    a, b = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(1e-6, None), (None, None)]).x
    return float(a / spread), float(b - a * centre / spread)


def _as_log_odds(direction: Direction, slope: float, shift: float) -> Direction:
    """The same direction, whose readings are slope · reading + shift."""
    length = float(direction.vector @ direction.vector)
    moved = direction.origin - direction.vector * (shift * direction.scale / slope / length if length else 0.0)
    return replace(direction, origin=moved, scale=direction.scale / slope)


def _threshold(negatives: Float[np.ndarray, " prompt"], rate: float) -> float:
    rank, m = ceil((1 - rate) * (len(negatives) + 1)), len(negatives)
    if rank > m:
        raise SettingsError(
            f"{m} examples of the first label are too few for {rate:.1%} false alarms: give {ceil(1 / rate) - 1} or more."
        )
    return float(np.sort(negatives)[rank - 1])
