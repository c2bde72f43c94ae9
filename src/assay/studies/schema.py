"""The study file: what is asked, of which model, on which prompts, by which steps, and what is expected beforehand.

Everything here is data; `read.py` reads it from YAML. `checked` is what pydantic cannot see: names that point nowhere.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from assay.core.errors import nearest
from assay.studies.condition import Condition
from assay.studies.quantity import Frozen, Quantity, Selector, selectors

VERSION = 1
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Exclusion = Literal["wrong", "wrong_counterfactual"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class ModelSpec(Frozen):
    """Which model, as `assay.load` takes it."""

    name: str | None = None
    """A hub id, a folder or a GGUF file; nothing for the embedded model."""
    revision: str | None = None
    """A branch, tag or commit of a hub model."""
    dtype: str | None = None
    """Such as float32; nothing keeps the file's own."""

    def __str__(self) -> str:
        return (self.name or "the embedded model") + (f" @ {self.revision}" if self.revision else "")


class DataSpec(Frozen):
    """A set of prompts: from a task family, or your own."""

    task: str | None = None
    """The task family, such as `ioi`."""
    file: str | None = None
    """Your own prompts instead, as JSON lines (docs/data.md); the path is seen from the study file."""
    prompts: str | None = None
    """The hash of your own prompts, which a plan holds: they must be these."""
    n: int = Field(gt=0)
    """How many examples."""
    seed: int = 0
    """Which ones."""
    split: Literal["train", "validation", "test"]
    """Splits share no template and no name."""
    templates: tuple[str, ...] | None = None
    """Which wordings; nothing means all of the split."""
    variant: str | None = None
    """How the counterfactual is made; nothing means the family's first way."""
    exclude: tuple[Exclusion, ...] = ()
    """Which prompts are left out, by what the model does: `wrong` (it prefers a wrong answer), `wrong_counterfactual` (it gives
    the clean prompt's answer to the counterfactual prompt too)."""

    @model_validator(mode="after")
    def _from_one_place(self) -> DataSpec:
        own = self.file is not None or self.prompts is not None
        if (self.task is not None) == own:
            raise ValueError("give either a `task` or a `file` of your own prompts")
        if own and self.variant is not None:
            raise ValueError("`variant` is for tasks: your own prompts have their counterfactuals")
        return self

    @property
    def whose(self) -> str:
        """Before the word prompts: the task's, or the study's own."""
        return f"the task {self.task}'s" if self.task is not None else str(self)

    def __str__(self) -> str:
        return f"the task {self.task}" if self.task is not None else "the study's own"


class StepSpec(Frozen):
    """A method applied to prompts, with earlier results where it needs them."""

    method: str
    """A method of the registry."""
    data: str
    """Which of the study's data sets."""
    settings: dict[str, Any] = Field(default={})
    """The method's settings; what is not given keeps its default and is written into the plan."""
    needs: dict[str, str] = Field(default={})
    """Earlier results that the method takes: parameter → step."""
    title: str = ""
    """A heading for the report."""


class Baseline(Frozen):
    """The same quantity for something that should not do as well."""

    name: Text
    """What it is, such as `random heads of the same number`."""
    quantity: Quantity
    """The number that stands beside the hypothesis."""


class Hypothesis(Frozen):
    """A statement that can turn out wrong, with a number predicted before the run."""

    id: Name
    """A short name."""
    statement: Text
    """What is claimed, in words."""
    quantity: Quantity
    """The number that decides."""
    prediction: Condition
    """What the number must be; the hypothesis is supported if its whole interval meets this."""
    refuted_if: Condition | None = None
    """Refuted if the whole interval meets this; nothing means: if the whole interval breaks the prediction."""
    smallest_effect: float = Field(gt=0)
    """The smallest difference in the quantity that would matter; a wider interval than this is reported as such."""
    spread: float | None = Field(default=None, gt=0)
    """The standard deviation between examples that is expected, for `assay study check`; nothing means 0.5, the most that
    numbers between 0 and 1 can have."""
    baselines: tuple[Baseline, ...] = ()
    """What the number is compared with."""
    because: str = ""
    """Why this is expected."""

    @model_validator(mode="after")
    def _can_be_decided(self) -> Hypothesis:
        if self.refuted_if is not None and self.prediction.overlaps(self.refuted_if):
            raise ValueError(f"prediction {self.prediction} and refuted_if {self.refuted_if} can hold at once")
        return self


class Analysis(Frozen):
    """How intervals are made."""

    level: float = Field(default=0.95, gt=0, lt=1)
    """1 − this is the error that all verdicts together may have (or each alone, without correction)."""
    correction: Literal["bonferroni", "holm", "benjamini-hochberg", "none"] = "bonferroni"
    """How that error is shared among the hypotheses: bonferroni (all intervals hold together), holm (the chance of any wrong
    verdict), benjamini-hochberg (the share of wrong ones among the verdicts), none (each alone)."""
    interval: Literal["bca", "percentile"] = "bca"
    """Which bootstrap interval."""
    resamples: int = Field(default=2000, ge=200)
    """How many bootstrap resamples."""
    cluster: Literal["template"] | None = None
    """Draw whole templates instead of single examples."""
    seed: int = 0
    """Of the bootstrap."""
    control_time: float = Field(default=4.0, ge=0)
    """What a step's controls may take together, in times of the step's own: 0 makes those that need no run of the method."""


class Budget(Frozen):
    """What a run may take. It is not part of the plan: it says how far to go, not what is asked."""

    seconds: float | None = Field(default=None, gt=0)
    """Time of all steps together, those of earlier starts of the same run included."""
    gigabytes: float | None = Field(default=None, gt=0)
    """Memory of the process, the model included."""


class Matrix(Frozen):
    """The study again for each combination, each in a folder and with a plan of its own."""

    models: tuple[ModelSpec, ...] = ()
    """Which models, each by name or as `model` is written; nothing means the study's own."""
    revisions: tuple[Text, ...] = ()
    """Which revisions of each model; nothing means the one that the model names."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """What is added to the seed of every data set and to every step setting called `seed`; 0 is the study as it stands."""

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, models: Any) -> Any:
        named = isinstance(models, list | tuple)
        return [{"name": each} if isinstance(each, str) else each for each in models] if named else models

    @model_validator(mode="after")
    def _once(self) -> Matrix:
        for name in ("models", "revisions", "seeds"):
            values = getattr(self, name)
            if twice := [str(each) for each in values if values.count(each) > 1]:
                raise ValueError(f"{name} holds {twice[0]} twice")
        return self


class Alternative(Frozen):
    """Other settings of some steps, under which the same hypotheses are judged again: another ablation, another metric."""

    name: Name
    """A short name, such as `zero_ablation`."""
    settings: dict[str, dict[str, Any]] = Field(min_length=1)
    """For each step that differs, the settings that differ."""


class Study(Frozen):
    """A study file."""

    version: Literal[1] = 1
    """The version of this format."""
    title: Text
    """A short title."""
    question: Text
    """The question, in words."""
    model: ModelSpec = ModelSpec()
    """The model that is studied."""
    data: dict[Name, DataSpec] = Field(min_length=1)
    """Named sets of prompts."""
    steps: dict[Name, StepSpec] = Field(min_length=1)
    """What is done, in this order."""
    hypotheses: tuple[Hypothesis, ...] = Field(min_length=1)
    """What is expected."""
    analysis: Analysis = Analysis()
    """How the numbers are judged."""
    budget: Budget | None = None
    """What the run may take; it stops before a step that would exceed this."""
    matrix: Matrix | None = None
    """Which models, revisions and seeds it is repeated with."""
    sensitivity: tuple[Alternative, ...] = ()
    """Choices that could have been made otherwise; every verdict is shown under each."""
    limitations: tuple[Text, ...] = ()
    """What the authors know to be weak; measured limitations are added to these, never removed."""

    @field_validator("hypotheses")
    @classmethod
    def _ids_are_unique(cls, hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
        ids = [each.id for each in hypotheses]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"two hypotheses are called {', '.join(twice)}")
        return hypotheses

    @model_validator(mode="after")
    def _names_point_somewhere(self) -> Study:
        earlier: list[str] = []
        for name, step in self.steps.items():
            _known(step.data, self.data, f"steps.{name}.data")
            for parameter, needed in step.needs.items():
                _known(needed, earlier, f"steps.{name}.needs.{parameter}", "an earlier step")
            earlier.append(name)
        names = [each.name for each in self.sensitivity]
        for each in self.sensitivity:
            for changed in each.settings:
                _known(changed, self.steps, f"sensitivity.{each.name}.settings", "a step")
            if names.count(each.name) > 1:
                raise ValueError(f"two alternatives are called {each.name}")
        for hypothesis in self.hypotheses:
            for where, selector in _selectors(hypothesis):
                _known(selector.step, self.steps, f"hypotheses.{hypothesis.id}.{where}", "a step")
                _compiles(selector, f"hypotheses.{hypothesis.id}.{where}")
        return self


def _selectors(hypothesis: Hypothesis) -> list[tuple[str, Selector]]:
    found = [("quantity", each) for each in selectors(hypothesis.quantity)]
    for baseline in hypothesis.baselines:
        found += [(f"baselines.{baseline.name}", each) for each in selectors(baseline.quantity)]
    return found


def _known(name: str, known: Any, where: str, what: str = "a data set") -> None:
    if name not in known:
        listed = ", ".join(known) or "none"
        raise ValueError(f"{where}: {name!r} is not {what} of this study (there are: {listed}).{nearest(name, known)}")


def _compiles(selector: Selector, where: str) -> None:
    for value in selector.coords.values():
        pattern = getattr(value, "matches", None)
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{where}: {pattern!r} is not a regular expression: {error}") from None
