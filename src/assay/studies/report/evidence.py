"""What speaks for a hypothesis and what against it, sentence by sentence, from the numbers of the run.

The verdict alone rests on the study's rule. This lists what a reader would want to weigh beside it: how far the
interval is from the limit, what each baseline does, whether each wording alone says the same, and what the steps that
the number comes from marked as weak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.core.errors import StudyError
from assay.core.result import INFLUENCES
from assay.core.svg import number as digits
from assay.stats import Estimate
from assay.studies.conclusion import Judgement, NamedNumber, Number
from assay.studies.condition import Condition
from assay.studies.pick import StepData, pick
from assay.studies.quantity import Difference, Quantity, Ratio, Selector, Share, parts, selectors
from assay.studies.report.against import Beside, beside
from assay.studies.report.contents import Contents
from assay.studies.schema import Hypothesis


@dataclass(frozen=True)
class Evidence:
    """Sentences for and against."""

    supporting: tuple[str, ...]
    opposing: tuple[str, ...]


def evidence(hypothesis: Hypothesis, judged: Judgement, contents: Contents) -> Evidence:
    """Everything in the run that speaks for or against a hypothesis."""
    weighed = [
        _interval(judged),
        *(_baseline(each, judged) for each in judged.baselines),
        *_controls(hypothesis, contents),
        *_stays(judged),
        *_wordings(hypothesis, contents.numbers),
        *((False, text) for text in _weak(hypothesis, contents)),
    ]
    return Evidence(
        tuple(text for speaks_for, text in weighed if speaks_for),
        tuple(text for speaks_for, text in weighed if not speaks_for),
    )


def _interval(judged: Judgement) -> tuple[bool, str]:
    predicted, found = Condition.parse(judged.prediction), _estimate(judged.number)
    if found is None:
        return False, "There is no number: the quantity could not be worked out."
    if not judged.number.has_interval:
        met = predicted.holds(found.value)
        said = f"The number {'meets' if met else 'breaks'} the prediction: {digits(found.value)}"
        return (False, f"{said}, but it has no interval.") if judged.number.n else (met, f"{said}.")
    said = f"{judged.number.short} against the prediction {in_words(predicted)}"
    if predicted.holds_throughout(found):
        margin = _margin(predicted, found)
        near = f"; its nearest end is {digits(margin)} from the limit" if margin is not None else ""
        return True, f"The whole interval meets the prediction: {said}{near}."
    if predicted.fails_throughout(found):
        return False, f"The whole interval breaks the prediction: {said}."
    side = "meets" if predicted.holds(found.value) else "breaks"
    return False, f"The interval holds numbers on both sides of the limit, while the number itself {side} it: {said}."


def _margin(predicted: Condition, found: Estimate) -> float | None:
    limits = [predicted.low] + ([] if predicted.high is None else [predicted.high])
    return min((abs(end - limit) for end in (found.low, found.high) for limit in limits), default=None)


def _baseline(baseline: NamedNumber, judged: Judgement) -> tuple[bool, str]:
    mine, other = _estimate(judged.number), _estimate(baseline.number)
    said = f"“{baseline.name}” gives {baseline.number.short}"
    if mine is None or other is None:
        return False, f"{said}: it can't be compared."
    predicted = Condition.parse(judged.prediction)
    gap = max(mine.low - other.high, other.low - mine.high)
    intervals = mine.has_interval and other.has_interval
    if gap <= 0:
        why = "its interval overlaps the one found, so " if intervals else ""
        return False, f"{said}: {why}the two are not told apart."
    if predicted.holds(other.value):
        return False, f"{said}: it meets the prediction too, so meeting it is not special."
    what = "intervals" if intervals else "two"
    return True, f"{said}: it does not meet the prediction, and the {what} are {digits(gap)} apart."


def _controls(hypothesis: Hypothesis, contents: Contents) -> list[tuple[bool, str]]:
    """What the steps that the number is read from say of their controls."""
    return [each for shown in controls_of(hypothesis, contents) for each in shown.weighed()]


def controls_of(hypothesis: Hypothesis, contents: Contents) -> list[Beside]:
    """The comparisons that are about a number which the hypothesis reads, and not about another one of the same step."""
    read: dict[str, list[str]] = {}
    for each in selectors(hypothesis.quantity):
        read.setdefault(each.step, []).append(each.variable)
    found = [(beside(contents.results.get(step)), variables) for step, variables in read.items()]
    return [shown for shown, variables in found if shown is not None and shown.concerns(variables)]


def _stays(judged: Judgement) -> list[tuple[bool, str]]:
    """Declared choices under which the verdict is the same; the others are limitations, and said with those."""
    return [
        (each.outcome == "supported", f"Under the choices {each.name} it is {each.outcome} too: {each.number.short}.")
        for each in judged.otherwise
        if each.outcome == judged.outcome
    ]


def _wordings(hypothesis: Hypothesis, numbers: Mapping[str, StepData]) -> list[tuple[bool, str]]:
    """The same number for each wording alone: a claim that rests on one of them is weak."""
    try:
        alone = by_template(hypothesis.quantity, numbers)
    except (StudyError, KeyError):
        return []
    if len(alone) < 2:
        return []
    fails = {name: value for name, value in alone.items() if not hypothesis.prediction.holds(value)}
    ends = f"from {digits(min(alone.values()))} to {digits(max(alone.values()))}"
    if not fails:
        return [(True, f"Each of the {len(alone)} wordings alone meets the prediction ({ends}).")]
    listed = ", ".join(f"{name}: {digits(value)}" for name, value in sorted(fails.items(), key=lambda item: item[1]))
    verb = "breaks" if len(fails) == 1 else "break"
    held = f", {len(alone) - len(fails)} meet it" if len(fails) < len(alone) else ""
    return [
        (False, f"Of {len(alone)} wordings taken alone, {len(fails)} {verb} the prediction ({listed}){held}; {ends}.")
    ]


def by_template(quantity: Quantity, numbers: Mapping[str, StepData]) -> dict[str, float]:
    """A quantity worked out on the examples of each template alone; nothing where its steps do not share templates."""
    used = {name: numbers[name] for name in dict.fromkeys(each.step for each in selectors(quantity))}
    sets = {each.examples for each in used.values() if "template" in each.data.coords}
    if len(sets) != 1:
        return {}
    if all(pick(each, numbers).group is None for each in selectors(quantity)):
        return {}
    if any(each.variable in numbers[each.step].data.attrs.get(INFLUENCES, ()) for each in selectors(quantity)):
        return {}
    labels = next(each.data["template"].values for each in used.values() if "template" in each.data.coords)
    found = {}
    for name in dict.fromkeys(labels.tolist()):
        part = {step: _only(each, str(name)) for step, each in used.items()}
        found[str(name)] = _value(quantity, part)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _only(step: StepData, template: str) -> StepData:
    if "template" not in step.data.coords:
        return step
    chosen = np.flatnonzero(step.data["template"].values == template)
    return StepData(step.name, step.data.isel(example=chosen), step.examples)


def _value(quantity: Quantity, numbers: Mapping[str, StepData]) -> float:
    """The number without its interval."""
    match quantity:
        case Selector():
            picked = pick(quantity, numbers)
            values = picked.values if picked.group is None else picked.values.mean(axis=1)
            return float(getattr(np, quantity.over)(values))
        case Difference():
            first, second = (_value(each, numbers) for each in quantity.difference)
            return first - second
        case Ratio():
            first, second = (_value(each, numbers) for each in quantity.ratio)
            return first / second if second else float("nan")
        case Share():
            of, zero, one = (_value(each, numbers) for each in parts(quantity))
            return (of - zero) / (one - zero) if one != zero else float("nan")


def _weak(hypothesis: Hypothesis, contents: Contents) -> list[str]:
    """Limitations of the hypothesis itself, and those that its steps marked; controls are told of their own."""
    steps = {each.step for each in selectors(hypothesis.quantity)}
    sources = {f"hypothesis {hypothesis.id}": "", **{f"step {step}": f"Step {step}: " for step in steps}}
    compared = [beside(contents.results.get(step)) for step in steps]
    told = {text for each in compared if each is not None for text in each.caveats}
    return [
        sources[each.source]
        + (each.text if each.source.startswith("step") else each.text[:1].upper() + each.text[1:])
        + "."
        for each in contents.conclusion.limitations
        if each.source in sources and each.text not in told
    ]


def _estimate(number: Number) -> Estimate | None:
    """The number as statistics know it; one without an interval is a point, or of one example open at both ends."""
    if number.value is None:
        return None
    far = math.inf if number.n else 0.0
    low, high = (number.value - far, number.value + far) if number.low is None else (number.low, number.high)
    return Estimate(number.value, low, number.value if high is None else high, number.n, number.method, number.level)


def in_words(condition: Condition) -> str:
    """A condition with the signs of mathematics."""
    return str(condition).replace(">=", "≥").replace("<=", "≤")
