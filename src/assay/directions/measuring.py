"""How well readings tell labels apart: numbers for each pair whose mean is the measure, so that intervals come from pairs.

A share of all prompts is a mean over pairs as it stands. AUROC and shares of one label are not: each pair has instead

    measure + what the measure would change by if the pair weighed more          (its influence)

whose mean over pairs is the measure itself, and whose bootstrap or t interval is DeLong's (1988), with both prompts of a pair
drawn together.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from assay.core.errors import DataError
from assay.directions.labels import Prompts
from assay.stats.ranking import auroc as plain_auroc

Readings = Float[np.ndarray, " prompt"]
PerPair = Float[np.ndarray, " pair"]


def right(guessed: Int[np.ndarray, "*rows prompt"], prompts: Prompts) -> Float[np.ndarray, "*rows pair"]:
    """The share of each pair's prompts that are given their label."""
    return prompts.of_units(guessed == prompts.y)


def auroc(readings: Readings, prompts: Prompts) -> PerPair:
    """Chance that a prompt with the second label reads higher than one with the first, ties counted as half.

    Raises:
        DataError: only one of the two labels is there.
    """
    positive = prompts.y == 1
    if positive.all() or not positive.any():
        raise DataError(
            f"All prompts have the label {prompts.labels[int(positive.all())]!r}: there is nothing to tell apart."
        )
    ranks, own = rankdata(readings), np.zeros(len(readings))
    own[positive], own[~positive] = rankdata(readings[positive]), rankdata(readings[~positive])
    n, m = int(positive.sum()), int((~positive).sum())
    beaten = np.where(positive, (ranks - own) / m, 1 - (ranks - own) / n)
    return _influences(beaten, float(beaten[positive].mean()), prompts, [positive, ~positive])


def share_among(flagged: Bool[np.ndarray, " prompt"], among: Bool[np.ndarray, " prompt"], prompts: Prompts) -> PerPair:
    """The share of the prompts `among` that are flagged.

    Raises:
        DataError: there is none among them.
    """
    if not among.any():
        raise DataError("No prompt has this label: a share of none has no value.")
    return _influences(flagged.astype(float), float(flagged[among].mean()), prompts, [among])


def brier(probability: Readings, prompts: Prompts) -> PerPair:
    """The mean squared distance of probabilities from the truth: 0 is best, 0.25 says a half to everything."""
    return prompts.of_units((probability - (prompts.y == 1)) ** 2)


def calibration_error(probability: Readings, prompts: Prompts, *, bins: int = 10) -> float:
    """How far probabilities lie from shares that come true, over bins that hold equally many prompts (ECE)."""
    order = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(probability)))
    gaps = [abs(float(probability[part].mean() - (prompts.y[part] == 1).mean())) * len(part) for part in order]
    return sum(gaps) / len(probability)


def by_wording(values: PerPair, prompts: Prompts) -> dict[str, float]:
    """The mean over the pairs of each wording."""
    templates = np.array([example.template for example in prompts.pairs])
    return {str(each): float(values[templates == each].mean()) for each in dict.fromkeys(templates)}


def auroc_by_wording(readings: Readings, prompts: Prompts) -> dict[str, float]:
    """AUROC among the prompts of each wording that has both labels."""
    templates = np.array([example.template for example in prompts.pairs])[prompts.unit]
    parts = {str(each): templates == each for each in dict.fromkeys(templates.tolist())}
    both = {name: part for name, part in parts.items() if len(np.unique(prompts.y[part])) == 2}
    return {name: plain_auroc(readings[part], prompts.y[part] == 1) for name, part in both.items()}


def _influences(
    values: Readings, measure: float, prompts: Prompts, groups: list[Bool[np.ndarray, " prompt"]]
) -> PerPair:
    pull = np.zeros(len(values))
    for group in groups:
        pull[group] = prompts.n / group.sum() * (values[group] - measure)
    return measure + np.bincount(prompts.unit, pull, minlength=prompts.n)
