"""Numbers that are judged on the examples on which something was chosen."""

from __future__ import annotations

from assay.core.registry import find
from assay.studies.lint.finding import Finding, Findings
from assay.studies.own_prompts import share_examples
from assay.studies.quantity import Selector, selectors
from assay.studies.schema import DataSpec, Hypothesis, Study


def chosen_on_what_is_judged(study: Study) -> Findings:
    """Hypotheses whose step takes an earlier result from the same examples, and test data that served for choosing."""
    for hypothesis in study.hypotheses:
        seen: set[tuple[str, str]] = set()
        for selector in selectors(hypothesis.quantity):
            if not _looks(study, selector.step):
                continue  # it compares numbers that are there; nothing is judged on prompts
            for earlier in _ancestors(study, selector.step):
                pair = (selector.step, earlier)
                if pair in seen or not _overlap(study, *pair):
                    continue
                seen.add(pair)
                yield _same_examples(hypothesis, study, *pair)


def extremes_chosen_on_what_is_judged(study: Study) -> Findings:
    """A maximum or minimum over places that were not named: it is chosen on the examples that it is judged on."""
    for hypothesis in study.hypotheses:
        for selector in selectors(hypothesis.quantity):
            if selector.over in ("max", "min") and not _one_place(selector):
                yield Finding(
                    rule="extreme",
                    level="warning",
                    where=f"hypotheses.{hypothesis.id}.quantity",
                    problem=f"the {selector.over} of {selector.step}.{selector.variable} is chosen on the examples "
                    "that it is judged on, and so a little too good.",
                    advice="Choose the place on other examples (a step with `needs`), or name it beforehand.",
                )


def judged_on_what_was_left(study: Study) -> Findings:
    """How often the model is right, on prompts from which its wrong answers were left out."""
    for hypothesis in study.hypotheses:
        for selector in selectors(hypothesis.quantity):
            step = study.steps[selector.step]
            if step.method != "task_accuracy" or not study.data[step.data].exclude:
                continue
            rules = ", ".join(study.data[step.data].exclude)
            yield Finding(
                rule="exclusion",
                level="error",
                where=f"steps.{selector.step}.data",
                problem=f"{hypothesis.id} is judged by what the model answers in {step.data}, from which "
                f"`exclude: [{rules}]` has left out prompts for their answers.",
                advice="Judge behaviour on a data set without `exclude`; leave prompts out where parts are looked for.",
            )


def _same_examples(hypothesis: Hypothesis, study: Study, step: str, earlier: str) -> Finding:
    first, second = study.steps[step].data, study.steps[earlier].data
    same = f"the data set {first}" if first == second else f"{first} and {second}, which share examples"
    return Finding(
        rule="selection",
        level="error",
        where=f"steps.{step}.data",
        problem=f"{hypothesis.id} is judged by {step}, whose {earlier} was found on the same examples: {same}.",
        advice="Find parts on `split: train`, choose sizes on `split: validation`, judge on `split: test`.",
    )


def _ancestors(study: Study, step: str) -> list[str]:
    """The earlier steps that a step's result rests on, and that look at examples."""
    found: list[str] = []
    for earlier in study.steps[step].needs.values():
        if _looks(study, earlier):
            found.append(earlier)
        found += _ancestors(study, earlier)
    return list(dict.fromkeys(found))


def _looks(study: Study, step: str) -> bool:
    """Whether the result depends on the examples: a ranking by weights does not."""
    return not find(study.steps[step].method).card.cost.startswith("none")


def _overlap(study: Study, one: str, other: str) -> bool:
    first, second = study.steps[one].data, study.steps[other].data
    return first == second or _share(study.data[first], study.data[second])


def _share(one: DataSpec, other: DataSpec) -> bool:
    """Draws from one pool share examples, unless their wordings are apart. Of own prompts it is looked up."""
    if one.task is None or other.task is None:
        return share_examples(one, other)
    apart = one.templates is not None and other.templates is not None and not set(one.templates) & set(other.templates)
    return one.task == other.task and one.split == other.split and not apart


def _one_place(selector: Selector) -> bool:
    return bool(selector.coords) and all(isinstance(value, str | int | float) for value in selector.coords.values())
