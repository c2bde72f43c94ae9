"""Numbers that cannot tell hypotheses apart: predictions that always hold, or hold together."""

from __future__ import annotations

from itertools import combinations

from assay.studies.condition import Condition
from assay.studies.lint.finding import Finding, Findings
from assay.studies.lint.size import is_share
from assay.studies.schema import Hypothesis, Study


def predictions_that_cannot_fail(study: Study) -> Findings:
    """Predictions about a share of examples that every share meets, or none."""
    for hypothesis in study.hypotheses:
        if not is_share(hypothesis):
            continue
        at_ends = [hypothesis.prediction.holds(end) for end in (0.0, 1.0)]
        outside = not any(hypothesis.prediction.holds(i / 1000) for i in range(1001))
        if all(at_ends) or outside:
            what = "every share of examples meets it" if all(at_ends) else "no share of examples can meet it"
            yield Finding(
                rule="telling",
                level="error",
                where=f"hypotheses.{hypothesis.id}.prediction",
                problem=f"{hypothesis.prediction} cannot {'fail' if all(at_ends) else 'hold'}: {what}.",
                advice="Predict a bound between 0 and 1 that could turn out wrong.",
            )


def same_number_twice(study: Study) -> Findings:
    """Two hypotheses about one quantity whose predictions can hold together: the number does not tell them apart."""
    for one, other in combinations(study.hypotheses, 2):
        if one.quantity == other.quantity and _together(one, other):
            yield Finding(
                rule="telling",
                level="warning",
                where=f"hypotheses.{other.id}.quantity",
                problem=f"it is the number of {one.id} too, and {one.prediction} and {other.prediction} can hold at once.",
                advice="Make one hypothesis of them, or ask for a number on which they disagree.",
            )


def baselines_of_itself(study: Study) -> Findings:
    """A baseline that is the very number it is compared with."""
    for hypothesis in study.hypotheses:
        for baseline in hypothesis.baselines:
            if baseline.quantity == hypothesis.quantity:
                yield Finding(
                    rule="telling",
                    level="error",
                    where=f"hypotheses.{hypothesis.id}.baselines.{baseline.name}",
                    problem="the baseline is the hypothesis' own number.",
                    advice="Compare with something that should not do as well.",
                )


def _together(one: Hypothesis, other: Hypothesis) -> bool:
    conditions: tuple[Condition, Condition] = (one.prediction, other.prediction)
    return conditions[0].overlaps(conditions[1])
