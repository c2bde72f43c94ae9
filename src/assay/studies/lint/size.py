"""Whether there are enough examples for the smallest effect that would matter: power, by simulating the verdict.

The truth is taken to lie the smallest effect beyond the predicted bound (in the middle of a predicted range), and data sets
are drawn: right and wrong answers for shares of examples, else normal numbers of the expected spread. The power is how
often the verdict would then be `supported`. Cost: no model; 400 simulated data sets for each size that is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from assay.core.errors import DataError
from assay.stats import bonferroni_level, needed_n, power, wilson
from assay.stats.estimate import Estimate
from assay.studies.condition import Condition
from assay.studies.lint.finding import Finding, Findings
from assay.studies.quantity import Selector, selectors
from assay.studies.schema import Hypothesis, Study

WANTED = 0.8
SIMULATIONS = 400
MOST = 20_000
SPREAD = 0.5

Simulate = Callable[[np.random.Generator, int], Any]


def too_few_examples(study: Study) -> Findings:
    """Hypotheses that would rarely be supported even if they were true by the smallest effect that matters."""
    level = study.analysis.level
    if study.analysis.correction != "none":  # what holm and benjamini-hochberg ask for at worst
        level = bonferroni_level(level, len(study.hypotheses))
    for hypothesis in study.hypotheses:
        n = examples(study, hypothesis)
        simulate, decide = simulation(hypothesis, level)
        found = power(simulate, decide, n=n, simulations=SIMULATIONS)
        if found.value < WANTED:
            yield Finding(
                rule="size",
                level="warning",
                where=f"hypotheses.{hypothesis.id}",
                problem=f"{n} examples give a power of {found.value:.2f} [{found.low:.2f}, {found.high:.2f}] for an effect of "
                f"{hypothesis.smallest_effect:g} beyond {hypothesis.prediction}{_spread(hypothesis)}.",
                advice=_more(simulate, decide, n),
            )


def examples(study: Study, hypothesis: Hypothesis) -> int:
    """How many examples are behind a hypothesis: the smallest data set that it reads."""
    return min(study.data[study.steps[each.step].data].n for each in selectors(hypothesis.quantity))


def simulation(hypothesis: Hypothesis, level: float) -> tuple[Simulate, Callable[[Any], bool]]:
    """Data sets in which the hypothesis is true by its smallest effect, and its verdict on one."""
    prediction = hypothesis.prediction
    truth = true_value(prediction, hypothesis.smallest_effect)
    if is_share(hypothesis):
        chance = float(np.clip(truth, 0, 1))
        return (
            lambda rng, n: rng.binomial(n, chance, size=1).repeat(2) * [1, 0] + [0, n],
            lambda data: prediction.holds_throughout(wilson(int(data[0]), int(data[1]), level=level)),
        )
    spread = hypothesis.spread or SPREAD

    def holds(data: np.ndarray) -> bool:
        if len(data) < 2:
            return False
        half = stats.t.ppf((1 + level) / 2, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data))
        mean = float(data.mean())
        return prediction.holds_throughout(Estimate(mean, mean - half, mean + half, len(data), "t", level))

    return lambda rng, n: rng.normal(truth, spread, size=n), holds


def true_value(prediction: Condition, effect: float) -> float:
    """A value that meets the prediction by the smallest effect."""
    if prediction.high is not None:
        return (prediction.low + prediction.high) / 2
    return prediction.low + (effect if prediction.relation in (">", ">=") else -effect)


def is_share(hypothesis: Hypothesis) -> bool:
    """Whether the quantity is a share of examples, of which each counts as 1 or 0."""
    quantity = hypothesis.quantity
    return isinstance(quantity, Selector) and (quantity.counts is not None or quantity.variable == "correct")


def _spread(hypothesis: Hypothesis) -> str:
    if is_share(hypothesis):
        return ""
    said = "expected" if hypothesis.spread is not None else "assumed: give `spread` if you know better"
    return f" (spread between examples {hypothesis.spread or SPREAD:g}, {said})"


def _more(simulate: Simulate, decide: Callable[[Any], bool], n: int) -> str:
    try:
        needed = needed_n(simulate, decide, wanted=WANTED, start=n, most=MOST, simulations=SIMULATIONS)
    except DataError:
        return f"Not even {MOST} would be enough: ask for a larger effect, or a bound that leaves room for it."
    return f"Take n = {needed.n} for a power of {WANTED:g}, or ask for a larger effect."
