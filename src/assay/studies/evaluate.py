"""From a quantity and the steps' results to a number with an interval, and from that to a verdict.

The interval is a bootstrap over examples: each resample draws examples of every data set and works the whole quantity
out again, maxima and ratios included. Results on the same data set are drawn together, so differences are paired. The
share of examples that are right is the exception: Wilson's interval, which is honest at 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from assay.core.errors import StudyError
from assay.stats import Estimate, Resampled, Units
from assay.stats.proportion import wilson_of
from assay.studies.chance import Chance
from assay.studies.pick import Picked, StepData, pick
from assay.studies.quantity import Difference, Quantity, Ratio, Selector, Share, parts
from assay.studies.schema import Analysis, Hypothesis

Outcome = Literal["supported", "refuted", "inconclusive"]
Drawn = Mapping[str, np.ndarray]
AtLevel = Callable[[float], Estimate]
_REDUCE: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "sum": np.sum,
    "median": np.median,
}


@dataclass(frozen=True)
class Verdict:
    """What the numbers say about a hypothesis."""

    hypothesis: Hypothesis
    estimate: Estimate
    outcome: Outcome
    baselines: tuple[tuple[str, Estimate], ...]
    chosen_on_same_examples: bool
    chance: Chance | None = None
    """Its p, corrected; None where there is no interval."""

    @property
    def too_wide(self) -> bool:
        """Whether the interval is wider than the smallest effect that would matter."""
        return self.estimate.half_width > self.hypothesis.smallest_effect


@dataclass(frozen=True)
class Measured:
    """A hypothesis with its numbers: its verdict at any level, from resamples that were drawn once."""

    hypothesis: Hypothesis
    found: AtLevel
    beside: tuple[tuple[str, AtLevel], ...]
    chosen_on_same_examples: bool

    def at(self, level: float) -> Verdict:
        """The verdict from intervals at a level."""
        found = self.found(level)
        beside = tuple((name, each(level)) for name, each in self.beside)
        return Verdict(self.hypothesis, found, outcome(self.hypothesis, found), beside, self.chosen_on_same_examples)

    def decided(self, error: float) -> bool:
        """Whether the interval at 1 − error supports or refutes it."""
        return outcome(self.hypothesis, self.found(1 - error)) != "inconclusive"


def measured(hypothesis: Hypothesis, results: Mapping[str, StepData], analysis: Analysis) -> Measured:
    """A hypothesis' number and those of its baselines, resampled."""
    beside = tuple((each.name, at_levels(each.quantity, results, analysis)) for each in hypothesis.baselines)
    found = at_levels(hypothesis.quantity, results, analysis)
    return Measured(hypothesis, found, beside, _chooses(hypothesis.quantity, results))


def judge(
    hypothesis: Hypothesis, results: Mapping[str, StepData], analysis: Analysis, *, level: float | None = None
) -> Verdict:
    """The verdict on one hypothesis from intervals at `level`; nothing means the study's own, without correction."""
    return measured(hypothesis, results, analysis).at(analysis.level if level is None else level)


def outcome(hypothesis: Hypothesis, found: Estimate) -> Outcome:
    """Supported if the whole interval meets the prediction, refuted if all of it is on the other side."""
    if np.isnan([found.value, found.low, found.high]).any():
        return "inconclusive"
    if hypothesis.prediction.holds_throughout(found):
        return "supported"
    if hypothesis.refuted_if is not None:
        return "refuted" if hypothesis.refuted_if.holds_throughout(found) else "inconclusive"
    return "refuted" if hypothesis.prediction.fails_throughout(found) else "inconclusive"


def estimate(
    quantity: Quantity, results: Mapping[str, StepData], analysis: Analysis, *, level: float | None = None
) -> Estimate:
    """A quantity with its interval.

    Raises:
        StudyError: the quantity names a variable or a coordinate that the result doesn't have.
    """
    return at_levels(quantity, results, analysis)(analysis.level if level is None else level)


def at_levels(quantity: Quantity, results: Mapping[str, StepData], analysis: Analysis) -> AtLevel:
    """A quantity with its interval at any level; what is drawn for that is drawn here, once."""
    leaves: dict[int, Picked] = {}
    _collect(quantity, results, analysis, leaves)
    if isinstance(quantity, Selector) and leaves[id(quantity)].is_proportion:
        correct = leaves[id(quantity)].values[0].astype(bool)
        return lambda level: wilson_of(correct, level=level)
    groups = _groups(leaves.values())
    if not groups:
        value = _value(quantity, leaves, {})
        return lambda level: Estimate(value, value, value, 0, "exact: no examples are involved", level)
    names = list(groups)
    drawn = Resampled(
        lambda *chosen: _value(quantity, leaves, dict(zip(names, chosen, strict=True))),
        [Units(leaf.values.shape[1], leaf.clusters) for leaf in groups.values()],
        resamples=analysis.resamples,
        seed=analysis.seed,
    )
    return lambda level: drawn.estimate(level, kind=analysis.interval)


def _groups(leaves: Iterable[Picked]) -> dict[str, Picked]:
    """One leaf for each data set, to say how many examples it has; all leaves of it must have as many."""
    groups: dict[str, Picked] = {}
    for leaf in leaves:
        if leaf.group is not None:
            first = groups.setdefault(leaf.group, leaf)
            if first.values.shape[1] != leaf.values.shape[1]:
                raise StudyError(
                    f"Two results on data set {leaf.group!r} have {first.values.shape[1]} and {leaf.values.shape[1]} "
                    "examples, so they can't be compared pair by pair: a step left some out."
                )
    return groups


def _collect(
    quantity: Quantity, results: Mapping[str, StepData], analysis: Analysis, leaves: dict[int, Picked]
) -> None:
    if isinstance(quantity, Selector):
        leaves[id(quantity)] = pick(quantity, results, cluster=analysis.cluster)
        return
    for part in parts(quantity):
        _collect(part, results, analysis, leaves)


def _value(quantity: Quantity, leaves: Mapping[int, Picked], drawn: Drawn) -> float:
    match quantity:
        case Selector():
            leaf = leaves[id(quantity)]
            values = leaf.values if leaf.group is None else leaf.values[:, drawn[leaf.group]].mean(axis=1)
            return float(_REDUCE[quantity.over](values))
        case Difference():
            first, second = (_value(each, leaves, drawn) for each in quantity.difference)
            return first - second
        case Ratio():
            first, second = (_value(each, leaves, drawn) for each in quantity.ratio)
            return _divided(first, second)
        case Share():
            of, zero, one = (_value(each, leaves, drawn) for each in parts(quantity))
            return _divided(of - zero, one - zero)


def _divided(above: float, below: float) -> float:
    return above / below if below else float("nan")


def _chooses(quantity: Quantity, results: Mapping[str, StepData]) -> bool:
    """Whether a maximum or minimum is taken over several coordinates, so that the number is chosen on the examples."""
    if not isinstance(quantity, Selector):
        return any(_chooses(part, results) for part in parts(quantity))
    return quantity.over in ("max", "min") and len(pick(quantity, results).values) > 1
