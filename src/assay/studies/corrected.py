"""Verdicts on several hypotheses at once: the level of their intervals is corrected, and the verdict follows the interval.

All intervals of a study are shown at one level, 1 − a, and a hypothesis is decided (supported or refuted) exactly if its
interval at that level says so: no verdict ever contradicts the interval beside it. With m hypotheses and α = 1 − `level`:

    bonferroni            a = α / m. All intervals hold together at `level`.
    holm                  a = α / (m − R), R the number of hypotheses that are decided: Holm's step-down procedure, carried out
                          on intervals. The chance of any wrong decision is at most α. The intervals that decide are those of
                          the last step, so they don't hold together at `level`: only the decisions do.
    benjamini-hochberg    a = R α / m (α / m if R = 0): the expected share of wrong decisions among the decisions is at most α,
                          and the decided intervals have a false coverage rate of at most α.
    none                  a = α. Each interval holds alone.

This is Holm's and Benjamini and Hochberg's procedure with p the smallest a at which the interval decides (`chance.py`), given
with each verdict and corrected in the same way.
Two-sided intervals are used for one-sided predictions, so the errors are in truth about half of what is stated.
Sources: Holm 1979, jstor.org/stable/4615733; Benjamini & Hochberg 1995, jstor.org/stable/2346101; Benjamini & Yekutieli
2005, doi:10.1198/016214504000001907 (intervals of what was selected). Cost: the resamples of every number, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from assay.studies.chance import Chance, chance, corrected
from assay.studies.evaluate import Measured, Verdict, measured
from assay.studies.pick import StepData
from assay.studies.schema import Analysis, Hypothesis

Decided = Callable[[float], int]
"""How many hypotheses are decided when every interval is at 1 − a."""


def judge_all(
    hypotheses: Sequence[Hypothesis], results: Mapping[str, StepData], analysis: Analysis
) -> tuple[Verdict, ...]:
    """A verdict on each hypothesis, at the level that the correction leaves, with its corrected p."""
    numbers = [measured(each, results, analysis) for each in hypotheses]
    known: dict[float, tuple[Verdict, ...]] = {}

    def at(error: float) -> tuple[Verdict, ...]:
        if error not in known:
            known[error] = tuple(each.at(1 - error) for each in numbers)
        return known[error]

    def decided(error: float) -> int:
        return sum(each.outcome != "inconclusive" for each in at(error))

    error = error_of(analysis, len(hypotheses), decided)
    plain = [_chance(each, error, 1 / analysis.resamples) for each in numbers]
    return tuple(replace(verdict, chance=p) for verdict, p in zip(at(error), corrected(plain, analysis), strict=True))


def _chance(numbers: Measured, error: float, finest: float) -> Chance | None:
    """The p of one hypothesis; None where its number has no interval."""
    found = numbers.found(1 - error)
    if not found.has_interval or np.isnan(found.value):
        return None
    return chance(numbers.decided, known=error, finest=finest)


def what_holds(analysis: Analysis, questions: int) -> str:
    """What can be relied on, of all verdicts and intervals of a study, in a sentence."""
    percent = f"{100 * analysis.level:g} %"
    match analysis.correction:
        case "none":
            return f"Each interval holds alone at {percent}; they are not corrected for their number."
        case "bonferroni":
            return f"Intervals hold together at {percent} (bonferroni over {questions})."
        case "holm":
            return f"All verdicts hold together at {percent} (holm over {questions}); the intervals are those of its last step."
        case "benjamini-hochberg":
            share = f"{100 * (1 - analysis.level):.3g} %"
            return f"Of the verdicts at most {share} are expected to be wrong (benjamini-hochberg over {questions})."


def error_of(analysis: Analysis, questions: int, decided: Decided) -> float:
    """The a of every interval: 1 − a is its level."""
    alpha = 1 - analysis.level
    match analysis.correction:
        case "none":
            return alpha
        case "bonferroni":
            return alpha / questions
        case "holm":
            return _holm(alpha, questions, decided)
        case "benjamini-hochberg":
            return _benjamini_hochberg(alpha, questions, decided)


def _holm(alpha: float, questions: int, decided: Decided) -> float:
    """Step down: while more are decided than the level has allowed for, the others may share what is left."""
    rejected = 0
    while True:
        error = alpha / (questions - rejected)
        found = decided(error)
        if found <= rejected or found == questions:
            return error
        rejected = found


def _benjamini_hochberg(alpha: float, questions: int, decided: Decided) -> float:
    """Step up from the top: the largest k with at least k decided at k α / m."""
    k = questions
    while k > 0:
        found = decided(k * alpha / questions)
        if found >= k:
            return k * alpha / questions
        k = found
    return alpha / questions
