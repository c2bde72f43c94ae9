"""What every form of the report shows, gathered once: hypotheses with evidence, steps with figures and tables, prompts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from assay.core.caveats import caveats_in, plain_facts
from assay.studies.conclusion import Judgement
from assay.studies.folder import StepResult
from assay.studies.lint.claims import claims_of_run
from assay.studies.lint.finding import Finding
from assay.studies.quantity import selectors
from assay.studies.report.against import Beside, beside, beside_figure
from assay.studies.report.choose import figures
from assay.studies.report.contents import Contents
from assay.studies.report.costs import Cost
from assay.studies.report.drawn import Drawn
from assay.studies.report.evidence import Evidence, controls_of, evidence
from assay.studies.report.limits import Group, limits
from assay.studies.report.prompts import ShownSet, shown_prompts
from assay.studies.report.scatter import estimates_against_exact
from assay.studies.report.strip import small_strip, strip
from assay.studies.report.tables import Table, tables
from assay.studies.schema import Hypothesis, StepSpec


@dataclass(frozen=True)
class ShownHypothesis:
    """A hypothesis with all that is said about it."""

    asked: Hypothesis
    judged: Judgement
    evidence: Evidence
    strip: Markup
    small: Markup
    steps: tuple[str, ...]
    controls: tuple[Beside, ...]
    wording: tuple[Finding, ...]


@dataclass(frozen=True)
class ShownStep:
    """A step with its figures and tables."""

    name: str
    spec: StepSpec
    result: StepResult
    figures: tuple[Drawn, ...]
    tables: tuple[Table, ...]
    facts: tuple[str, ...]
    caveats: tuple[str, ...]
    controls: Beside | None
    cost: Cost
    alone: bool

    @property
    def title(self) -> str:
        """Its heading."""
        return self.spec.title or self.name

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width: it has a large figure, several, none, or no neighbour like it."""
        large = any(each.wide for each in self.figures)
        return self.alone or large or len(self.figures) != 1

    @property
    def notes_beside(self) -> bool:
        """Whether there is room beside the figure."""
        return self.wide and len(self.figures) == 1 and not self.figures[0].wide


@dataclass(frozen=True)
class Shown:
    """All of a run."""

    contents: Contents
    hypotheses: tuple[ShownHypothesis, ...]
    steps: tuple[ShownStep, ...]
    limits: tuple[Group, ...]
    prompts: tuple[ShownSet, ...]

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many hypotheses there are of each outcome."""
        outcomes = [each.judged.outcome for each in self.hypotheses]
        return [(name, outcomes.count(name)) for name in ("supported", "refuted", "inconclusive") if name in outcomes]

    def figures(self) -> Iterable[tuple[str, Drawn]]:
        """Every figure with a name of its own, in reading order: one for each hypothesis, then those of the steps."""
        for each in self.hypotheses:
            caption = (
                f"{each.judged.statement} The shaded region is the prediction; below the number found stand baselines"
                + (", and below the line the same number under other choices." if each.judged.otherwise else ".")
            )
            yield f"hypothesis-{each.judged.id}", Drawn(strip(each.judged, named=True), caption, title=each.judged.id)
        for step in self.steps:
            for i, drawn in enumerate(step.figures):
                yield f"step-{step.name}" + (f"-{i + 1}" if len(step.figures) > 1 else ""), drawn


def gathered(contents: Contents) -> Shown:
    """Everything that the report says of a run."""
    wording = claims_of_run(contents.study, contents.conclusion, contents.cards)
    steps = tuple(_step(name, contents) for name in contents.results)
    return Shown(
        contents=contents,
        hypotheses=tuple(_hypothesis(each, contents, wording) for each in contents.conclusion.judgements),
        steps=steps,
        limits=tuple(limits(contents, wording)),
        prompts=tuple(shown_prompts(contents)),
    )


def _hypothesis(judged: Judgement, contents: Contents, wording: Iterable[Finding]) -> ShownHypothesis:
    asked = next(each for each in contents.study.hypotheses if each.id == judged.id)
    read = [each.step for quantity in (asked.quantity, *(b.quantity for b in asked.baselines))
            for each in selectors(quantity)]  # fmt: skip
    return ShownHypothesis(
        asked,
        judged,
        evidence(asked, judged, contents),
        strip(judged),
        small_strip(judged),
        steps=tuple(name for name in dict.fromkeys(read) if name in contents.results),
        controls=tuple(controls_of(asked, contents)),
        wording=tuple(each for each in wording if each.where.startswith(f"hypotheses.{judged.id}.")),
    )


def _step(name: str, contents: Contents) -> ShownStep:
    result = contents.results[name]
    controls = beside(result)
    drawn = [*figures(result), *estimates_against_exact(name, contents.results)]
    if controls is not None:
        drawn.append(beside_figure(controls))
    return ShownStep(
        name=name,
        spec=contents.study.steps[name],
        result=result,
        figures=tuple(drawn),
        tables=tuple(tables(result)),
        facts=plain_facts(result.facts),
        caveats=caveats_in(result.facts),
        controls=controls,
        cost=contents.costs[name],
        alone=_alone(name, contents),
    )


def _alone(name: str, contents: Contents) -> bool:
    """Whether no neighbour uses the same method: two of a kind stand side by side."""
    names = list(contents.results)
    at = names.index(name)
    near = [contents.results[each].method for each in names[max(0, at - 1) : at] + names[at + 1 : at + 2]]
    return contents.results[name].method not in near
