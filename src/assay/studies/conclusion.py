"""What a run concludes, as it is written into its folder: verdicts, limitations from measured facts, and the cost.

Limitations are collected, never dropped: what the authors know, what methods measured and marked (`core.caveats`), what
the intervals and the plan's history say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.core.caveats import caveats_in
from assay.core.errors import StudyError
from assay.stats import Estimate
from assay.studies.environment import now
from assay.studies.evaluate import Outcome, Verdict
from assay.studies.folder import RunFolder, StepResult
from assay.studies.plan import Plan
from assay.studies.schema import Study

FILE = "conclusion.json"
FORMAT = 1


class Record(BaseModel):
    """Closed and unchanging."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Number(Record):
    """An estimate with its interval; None where there is no number."""

    value: float | None
    """The number."""
    low: float | None
    """The lower end of its interval; None where it has none."""
    high: float | None
    """The upper end."""
    n: int
    """How many examples are behind it; 0 for one count."""
    method: str
    """How the interval was made."""
    level: float
    """The interval's level."""
    text: str
    """All of it in words."""

    @property
    def has_interval(self) -> bool:
        """Whether it has an interval."""
        return self.n > 0 and self.low is not None and self.high is not None

    @property
    def short(self) -> str:
        """The number and its interval, without level and n."""
        head, bracket, _ = self.text.partition("]")
        return head + bracket if bracket else head.partition(", n = ")[0]

    @classmethod
    def of(cls, estimate: Estimate) -> Number:
        """The number of an estimate."""
        low, high = (estimate.low, estimate.high) if estimate.has_interval else (math.nan, math.nan)
        ends = [end if math.isfinite(end) else None for end in (estimate.value, low, high)]
        return cls(
            value=ends[0],
            low=ends[1],
            high=ends[2],
            n=estimate.n,
            method=estimate.method,
            level=estimate.level,
            text=str(estimate),
        )


class NamedNumber(Record):
    """A baseline's number."""

    name: str
    """What it is."""
    number: Number
    """Its estimate."""


class Otherwise(Record):
    """The verdict under other choices that were declared."""

    name: str
    """Which choices."""
    number: Number
    """What was found under them."""
    outcome: Outcome
    """supported, refuted or inconclusive."""


class Judgement(Record):
    """The verdict on one hypothesis."""

    id: str
    """The hypothesis' short name."""
    statement: str
    """What was claimed."""
    because: str
    """Why it was expected."""
    quantity: str
    """The number that decides, in words."""
    prediction: str
    """What the number was predicted to be."""
    refuted_if: str | None
    """What would have refuted it; None: the whole interval on the other side of the prediction."""
    smallest_effect: float
    """The smallest difference that would matter."""
    outcome: Outcome
    """supported, refuted or inconclusive."""
    number: Number
    """What was found."""
    p: float | None = None
    """The corrected p: the smallest error of all verdicts at which this one is decided. None: it has no interval."""
    p_text: str = ""
    """The same in words; with ≤ where the resamples don't tell smaller ones apart."""
    baselines: tuple[NamedNumber, ...]
    """What it is compared with."""
    exploratory: bool
    """Whether it was added or changed after the first plan was frozen."""
    otherwise: tuple[Otherwise, ...] = ()
    """The verdict under each of the study's alternatives that concern it."""


class Limitation(Record):
    """Something that limits what the run shows."""

    source: str
    """Who says so: `authors`, `plan`, `model`, `hypothesis <id>`, or `step <name>`."""
    text: str
    """What it is."""


class Conclusion(Record):
    """Everything that a run concludes."""

    format: int = FORMAT
    """The version of this record."""
    plan: str
    """The hash of the plan in force."""
    time: str
    """When it was concluded, in UTC."""
    judgements: tuple[Judgement, ...]
    """One for each hypothesis, in the study's order."""
    limitations: tuple[Limitation, ...]
    """What limits them."""
    seconds: float
    """The time that the steps took, those that were found done included."""
    passes: int
    """Forward passes, as far as steps say."""


def concluded(
    study: Study,
    plan: Plan,
    *,
    results: Mapping[str, StepResult],
    verdicts: Sequence[Verdict],
    about: Mapping[str, Any],
    otherwise: Mapping[str, Sequence[Verdict]] | None = None,
) -> Conclusion:
    """What the results and verdicts of a run conclude; `about` is its environment, `otherwise` verdicts by alternative."""
    otherwise = otherwise or {}
    return Conclusion(
        plan=plan.hash,
        time=now(),
        judgements=tuple(_judgement(each, plan, otherwise) for each in verdicts),
        limitations=(
            *_limitations(study, plan, results, verdicts, about),
            *(each for verdict in verdicts for each in _of_choices(verdict, otherwise)),
        ),
        seconds=round(sum(each.seconds for each in results.values()), 2),
        passes=sum(int(each.cost.get("passes") or 0) for each in results.values()),
    )


def read_conclusion(root: Path) -> Conclusion:
    """The conclusion of a run folder.

    Raises:
        StudyError: the run did not come to an end, or the file is from a newer version or damaged.
    """
    if not (root / FILE).exists():
        raise StudyError(f"{root} has no {FILE}: the run did not come to its end. `assay study run` goes on with it.")
    content = RunFolder(root).read_json(FILE)
    if content.get("format", 0) > FORMAT:
        raise StudyError(f"{root / FILE} has format {content['format']}; this assay reads up to {FORMAT}: upgrade it.")
    try:
        return Conclusion.model_validate(content)
    except ValidationError as error:
        raise StudyError(
            f"{root / FILE} is damaged ({error.errors()[0]['msg']}): run the study again, nothing is computed twice."
        ) from None


def _judgement(verdict: Verdict, plan: Plan, otherwise: Mapping[str, Sequence[Verdict]]) -> Judgement:
    asked = verdict.hypothesis
    return Judgement(
        id=asked.id,
        statement=asked.statement,
        because=asked.because,
        quantity=str(asked.quantity),
        prediction=str(asked.prediction),
        refuted_if=None if asked.refuted_if is None else str(asked.refuted_if),
        smallest_effect=asked.smallest_effect,
        outcome=verdict.outcome,
        number=Number.of(verdict.estimate),
        p=None if verdict.chance is None else verdict.chance.p,
        p_text="" if verdict.chance is None else str(verdict.chance),
        baselines=tuple(NamedNumber(name=name, number=Number.of(each)) for name, each in verdict.baselines),
        exploratory=plan.is_exploratory(asked.id),
        otherwise=tuple(
            Otherwise(name=name, number=Number.of(each.estimate), outcome=each.outcome)
            for name, each in _under(asked.id, otherwise)
        ),
    )


def _under(hypothesis: str, otherwise: Mapping[str, Sequence[Verdict]]) -> list[tuple[str, Verdict]]:
    """A hypothesis' verdicts by alternative."""
    return [(name, each) for name, found in otherwise.items() for each in found if each.hypothesis.id == hypothesis]


def _of_choices(verdict: Verdict, otherwise: Mapping[str, Sequence[Verdict]]) -> list[Limitation]:
    """Choices under which the verdict would have been another."""
    return [
        Limitation(
            source=f"hypothesis {verdict.hypothesis.id}",
            text=f"{verdict.outcome} here, but {each.outcome} under the choices {name}: {each.estimate}",
        )
        for name, each in _under(verdict.hypothesis.id, otherwise)
        if each.outcome != verdict.outcome
    ]


def _limitations(
    study: Study,
    plan: Plan,
    results: Mapping[str, StepResult],
    verdicts: Sequence[Verdict],
    about: Mapping[str, Any],
) -> list[Limitation]:
    found = [Limitation(source="authors", text=text) for text in study.limitations]
    found += [Limitation(source="plan", text=text) for text in plan.deviations()]
    found += [Limitation(source="model", text=text) for text in about.get("model", {}).get("facts", [])]
    found += [each for verdict in verdicts for each in _of_verdict(verdict, plan)]
    found += [
        Limitation(source=f"step {name}", text=text)
        for name, each in results.items()
        for text in caveats_in(each.facts)
        if text not in _inherited(study, name, results)
    ]
    return found


def _inherited(study: Study, step: str, results: Mapping[str, StepResult]) -> set[str]:
    """Caveats that a step repeats from the earlier results that it takes."""
    return {text for needed in study.steps[step].needs.values() for text in caveats_in(results[needed].facts)}


def _of_verdict(verdict: Verdict, plan: Plan) -> list[Limitation]:
    texts = []
    found = verdict.estimate
    if found.has_interval and verdict.too_wide:
        texts.append(
            f"the interval {found} is wider than the smallest effect that would matter "
            f"(± {verdict.hypothesis.smallest_effect:g}): too few examples to tell such an effect apart"
        )
    if verdict.chosen_on_same_examples:
        texts.append(
            "the number is the largest or smallest of several, chosen on the same examples: it is a little high"
        )
    if not found.has_interval:
        texts.append(f"the number has no interval: it {_rests_on(found.n)}")
    if plan.is_exploratory(verdict.hypothesis.id):
        texts.append("it was added or changed after the plan was first frozen: exploratory")
    return [Limitation(source=f"hypothesis {verdict.hypothesis.id}", text=text) for text in texts]


def _rests_on(n: int) -> str:
    return f"rests on {n} example{'s' if n > 1 else ''}" if n else "is one count, on one draw of the prompts"
