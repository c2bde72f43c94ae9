"""All checks of a study file, before any compute."""

from __future__ import annotations

from assay.studies.lint.causes import causes_without_interventions
from assay.studies.lint.finding import Finding, Findings
from assay.studies.lint.reading import reads_what_is_not_there
from assay.studies.lint.selection import (
    chosen_on_what_is_judged,
    extremes_chosen_on_what_is_judged,
    judged_on_what_was_left,
)
from assay.studies.lint.size import too_few_examples
from assay.studies.lint.telling import baselines_of_itself, predictions_that_cannot_fail, same_number_twice
from assay.studies.lint.words import words_too_strong
from assay.studies.plan import content_of
from assay.studies.quantity import selectors
from assay.studies.schema import Study


def check_study(study: Study) -> tuple[Finding, ...]:
    """What a reviewer would say of it, errors first. Nothing is loaded and nothing computed but simulated verdicts.

    Raises:
        StudyError, SettingsError: a step names a method, settings or inputs that don't exist.
    """
    content_of(study)
    found = [finding for check in CHECKS for finding in check(study)]
    unique = dict.fromkeys(found)
    return tuple(sorted(unique, key=lambda each: each.level != "error"))


def nothing_beside(study: Study) -> Findings:
    """Hypotheses without anything to compare with."""
    for hypothesis in study.hypotheses:
        if not hypothesis.baselines:
            yield Finding(
                rule="baseline",
                level="warning",
                where=f"hypotheses.{hypothesis.id}",
                problem="nothing stands beside its number.",
                advice="Add a baseline: a random part, another ranking, another place, an untrained model.",
            )


def more_than_corrected(study: Study) -> Findings:
    """Several hypotheses, each judged as if it were the only one."""
    count = len(study.hypotheses)
    if study.analysis.correction == "none" and count > 1:
        wrong = 1 - study.analysis.level**count
        yield Finding(
            rule="correction",
            level="error",
            where="analysis.correction",
            problem=f"{count} hypotheses are judged without correction: the chance that one is supported by luck is up to "
            f"{wrong:.0%}.",
            advice="Leave `correction` out, or set it to bonferroni, holm or benjamini-hochberg.",
        )


def judged_elsewhere(study: Study) -> Findings:
    """Hypotheses that are not judged on test data."""
    for hypothesis in study.hypotheses:
        data = {study.steps[each.step].data for each in selectors(hypothesis.quantity)}
        others = sorted(name for name in data if study.data[name].split != "test")
        if others:
            yield Finding(
                rule="split",
                level="warning",
                where=f"hypotheses.{hypothesis.id}",
                problem=f"it is judged on {', '.join(others)}, which is not test data: what was seen while the study was "
                "written may be in it.",
                advice="Judge on `split: test`, which shares no wording and no name with the others.",
            )


CHECKS = (
    reads_what_is_not_there,
    causes_without_interventions,
    chosen_on_what_is_judged,
    predictions_that_cannot_fail,
    baselines_of_itself,
    more_than_corrected,
    nothing_beside,
    extremes_chosen_on_what_is_judged,
    judged_elsewhere,
    judged_on_what_was_left,
    same_number_twice,
    too_few_examples,
    words_too_strong,
)
