"""What limits a run: from what was measured, from the plan's history, from the methods' cards, from the authors.

The conclusion holds what the run collected. Added here is what a reader sees only when all is laid side by side:
baselines that came close, intervals that hang on few examples, prompts that were left out, steps that are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.studies.conclusion import Judgement, Number
from assay.studies.lint.finding import Finding
from assay.studies.report.choices import choices
from assay.studies.report.contents import Contents

FEW = 30
"""Below this many examples, a bootstrap interval is too short more often than it says."""


@dataclass(frozen=True)
class Group:
    """Limitations of one kind."""

    title: str
    about: str
    items: tuple[tuple[str, str], ...]


def limits(contents: Contents, wording: Sequence[Finding] = ()) -> list[Group]:
    """Groups of limitations; a group without any is left out. `wording`: what the claim linter found."""
    said = contents.conclusion.limitations
    measured = [(each.source, each.text) for each in said if each.source not in ("authors", "plan", "model")]
    groups = [
        Group("Measured in this run", "Found by the steps and the intervals, not by opinion.",
              (*_close(contents.conclusion.judgements), *measured, *_few(contents.conclusion.judgements))),
        Group("Choices that were declared", "The same measured in another way: what changes with it.",
              tuple((f"steps {' '.join(each.steps)}", each.text)
                    for each in choices(contents.study.steps, contents.results))),
        Group("Words stronger than the evidence", "Found by the claim linter in this study's own text.",
              tuple((each.where, f"{each.problem} {each.advice}") for each in wording)),
        Group("Data", "What was left out, or is not there.", (*_data(contents), *_missing(contents))),
        Group("Deviations from the plan", "What changed after the plan was first frozen.", _from(contents, "plan")),
        Group("Model", "What was done to the weights on the way.", _from(contents, "model")),
        Group("Methods", "When the methods used here are known to mislead.", tuple(_cards(contents))),
        Group("Known to the authors", "Written in the study file.", _from(contents, "authors")),
    ]  # fmt: skip
    return [group for group in groups if group.items]


def _close(judgements: Iterable[Judgement]) -> list[tuple[str, str]]:
    """Baselines whose interval meets that of the number that was found."""
    found = []
    for each in judgements:
        for beside in each.baselines:
            mine, other = _ends(each.number), _ends(beside.number)
            if mine is not None and other is not None and other[0] <= mine[1] and mine[0] <= other[1]:
                text = f"the baseline “{beside.name}” came close: {beside.number.text}, against {each.number.text}"
                found.append((f"hypothesis {each.id}", text))
    return found


def _ends(found: Number) -> tuple[float, float] | None:
    """The ends of a number's interval; of one count, the count."""
    if found.value is None or (found.n and not found.has_interval):
        return None
    return (found.value, found.value) if found.low is None or found.high is None else (found.low, found.high)


def _few(judgements: Iterable[Judgement]) -> list[tuple[str, str]]:
    return [
        (f"hypothesis {each.id}", f"the interval rests on {each.number.n} examples: with so few it is often too short")
        for each in judgements
        if each.number.has_interval and each.number.n < FEW
    ]


def _data(contents: Contents) -> list[tuple[str, str]]:
    found = []
    for name, prompts in contents.prompts.items():
        found += [(f"data {name}", fact) for fact in prompts.facts]
        asked, there = contents.study.data[name].n, len(prompts.examples)
        if there and there != asked:
            found.append((f"data {name}", f"{asked} examples were asked for, {there} are there"))
    return found


def _missing(contents: Contents) -> list[tuple[str, str]]:
    return [
        (f"step {name}", "its numbers are not in the run folder, so they are not shown") for name in contents.missing
    ]


def _from(contents: Contents, source: str) -> tuple[tuple[str, str], ...]:
    return tuple((source, each.text) for each in contents.conclusion.limitations if each.source == source)


def _cards(contents: Contents) -> Iterable[tuple[str, str]]:
    """What each method assumes, and when it misleads; methods that say the same are named together."""
    seen: dict[str, list[str]] = {}
    for result in contents.results.values():
        assumes, fails = (str(result.card.get(key, "")) for key in ("assumes", "fails_when"))
        if fails:
            seen.setdefault(f"assumes {assumes}. Misleads when: {fails}", []).append(result.method)
    for text, methods in seen.items():
        yield ", ".join(dict.fromkeys(methods)), text
